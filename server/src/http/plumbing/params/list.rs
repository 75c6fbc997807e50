//! Lists, and pages of them.

use serde_json::Value;
use shared::api::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use shared::problem::{FieldFault, Problem};

use super::Params;

impl Params {
    /// A list of objects, none of them with anything left; it must not be empty.
    pub fn each<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&mut Self) -> Result<T, Problem>,
    ) -> Result<Vec<T>, Problem> {
        let items = match self.take(name) {
            None => return Err(Problem::field(name, FieldFault::Missing)),
            Some(Value::Array(items)) if !items.is_empty() => items,
            Some(_) => return Err(Problem::field(name, FieldFault::Empty)),
        };
        let read_one = |(index, item)| {
            let Value::Object(values) = item else {
                return Err(Problem::field(
                    format!("{name}.{index}"),
                    FieldFault::Missing,
                ));
            };
            let mut params = Self::from(values);
            let item = read(&mut params);
            item.and_then(|item| params.finish().map(|()| item))
                .map_err(|problem| match problem {
                    Problem::InvalidField { field, fault } => {
                        Problem::field(format!("{name}.{index}.{field}"), fault)
                    }
                    problem => problem,
                })
        };
        items.into_iter().enumerate().map(read_one).collect()
    }

    /// Where a page begins, and how many items it has at most.
    pub fn page(&mut self) -> Result<(Option<String>, u32), Problem> {
        let limit = self.within("limit", PAGE_ITEMS_DEFAULT, 1, PAGE_ITEMS_MAX)?;
        Ok((self.text("cursor")?, limit))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::params;
    use super::*;

    #[test]
    fn a_fault_in_a_list_is_named_by_its_place() {
        let read = |value: Value| {
            params(json!({ "list": value })).each("list", |item| item.required_count("n"))
        };
        assert_eq!(read(json!([{ "n": 1 }, { "n": 2 }])), Ok(vec![1, 2]));
        for (value, field, fault) in [
            (json!(null), "list", FieldFault::Missing),
            (json!([]), "list", FieldFault::Empty),
            (json!([1]), "list.0", FieldFault::Missing),
            (json!([{ "n": 1 }, {}]), "list.1.n", FieldFault::Missing),
            (json!([{ "n": 1, "m": 1 }]), "list.0.m", FieldFault::Unknown),
        ] {
            assert_eq!(read(value), Err(Problem::field(field, fault)));
        }
    }
}
