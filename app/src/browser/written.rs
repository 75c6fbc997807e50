//! Moments in digits, without a word in any language.

use shared::clock::Timestamp;

/// A moment in UTC as `2024-01-15 10:30:00`, the same on both sides.
#[must_use]
pub fn utc_time(at: Timestamp) -> String {
    let moment = at.moment();
    written(
        moment.year().unsigned_abs(),
        u32::from(u8::from(moment.month())),
        [
            moment.day(),
            moment.hour(),
            moment.minute(),
            moment.second(),
        ]
        .map(u32::from),
    )
}

/// `rest` is day, hour, minute, second. Written by hand: `format!` with widths costs more wasm.
pub fn written(year: u32, month: u32, rest: [u32; 4]) -> String {
    let mut text = year.to_string();
    let [day, hour, minute, second] = rest;
    for (separator, number) in [
        ('-', month),
        ('-', day),
        (' ', hour),
        (':', minute),
        (':', second),
    ] {
        text.push(separator);
        if number < 10 {
            text.push('0');
        }
        text.push_str(&number.to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_with_leading_zeros() {
        let at: Timestamp = "2024-01-05T03:04:09.5Z".parse().unwrap();
        assert_eq!(utc_time(at), "2024-01-05 03:04:09");
    }
}
