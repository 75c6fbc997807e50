//! Bodies made readable without being changed: numbers keep their digits, names their order.

/// The JSON with one value a line; `None` for what is not JSON.
pub fn indented(json: &str) -> Option<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(json).ok()?;
    let mut text = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut is_in_string = false;
    let mut is_escaped = false;
    let mut letters = json.trim().chars().peekable();
    while let Some(letter) = letters.next() {
        if is_in_string {
            text.push(letter);
            if is_escaped {
                is_escaped = false;
            } else if letter == '\\' {
                is_escaped = true;
            } else if letter == '"' {
                is_in_string = false;
            }
            continue;
        }
        match letter {
            '"' => {
                is_in_string = true;
                text.push(letter);
            }
            '{' | '[' => {
                text.push(letter);
                while letters.next_if(|next| next.is_whitespace()).is_some() {}
                if let Some(end) = letters.next_if(|next| matches!(next, '}' | ']')) {
                    text.push(end);
                } else {
                    depth += 1;
                    new_line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut text, depth);
                text.push(letter);
            }
            ',' => {
                text.push(letter);
                new_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            letter if letter.is_whitespace() => {}
            letter => text.push(letter),
        }
    }
    Some(text)
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_nothing_else_changes() {
        let json = r#" {"b":[1, 2.50,{}],"a":"x, \"{y}\" :","c":[ ],"n":12345678901234567890} "#;
        let expected = r#"{
  "b": [
    1,
    2.50,
    {}
  ],
  "a": "x, \"{y}\" :",
  "c": [],
  "n": 12345678901234567890
}"#;
        assert_eq!(indented(json).unwrap(), expected);
    }

    #[test]
    fn what_is_not_json_is_left_alone() {
        assert_eq!(indented("{\"a\":"), None);
        assert_eq!(indented("hello"), None);
        assert_eq!(indented(""), None);
    }
}
