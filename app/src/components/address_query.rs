//! Which list, filter, page and open item is shown stands in the query of the address, so that Back
//! and a copied link work.

use leptos::prelude::*;
use leptos_router::hooks::{use_location, use_query_map};
use leptos_router::location::Url;
use leptos_router::params::ParamsMap;

/// The query of the page's address.
#[derive(Clone, Copy)]
pub struct AddressQuery {
    path: Memo<String>,
    params: Memo<ParamsMap>,
}

#[must_use]
pub fn use_address_query() -> AddressQuery {
    AddressQuery {
        path: use_location().pathname,
        params: use_query_map(),
    }
}

impl AddressQuery {
    /// The value of a name, without blanks around it; `None` where it is empty. Tracked.
    #[must_use]
    pub fn get(self, name: &str) -> Option<String> {
        self.params.with(|params| {
            let value = params.get_str(name)?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        })
    }

    /// All values of a name, in their order. Tracked.
    #[must_use]
    pub fn all(self, name: &str) -> Vec<String> {
        self.params
            .with(|params| params.get_all(name))
            .unwrap_or_default()
    }

    /// The address with one item of the list open on a page of its own; the list's own part stays,
    /// for the way back. Tracked.
    #[must_use]
    pub fn opening(self, name: &str, item: String) -> String {
        self.with(&[(name, vec![item])])
    }

    /// The address of the list that an item was opened from. Tracked.
    #[must_use]
    pub fn closing(self, name: &str) -> String {
        self.with(&[(name, Vec::new())])
    }

    /// The address with other values of these names; none are an absent name. Tracked.
    #[must_use]
    pub fn with(self, changes: &[(&str, Vec<String>)]) -> String {
        self.path.get() + &changed(self.params.get(), changes)
    }
}

fn changed(mut params: ParamsMap, changes: &[(&str, Vec<String>)]) -> String {
    for (name, _) in changes {
        params.remove(name);
    }
    let mut query = params.to_query_string();
    for (name, values) in changes {
        for value in values.iter().filter(|value| !value.is_empty()) {
            query += if query.is_empty() { "?" } else { "&" };
            query += name;
            query += "=";
            query += &Url::escape(value);
        }
    }
    query
}

#[cfg(test)]
#[cfg(feature = "ssr")]
mod tests {
    use super::*;

    fn changes(pairs: &[(&'static str, &[&str])]) -> Vec<(&'static str, Vec<String>)> {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        pairs
            .iter()
            .map(|(name, values)| (*name, owned(values)))
            .collect()
    }

    #[test]
    fn what_changes_is_replaced_and_the_rest_stays() {
        let params: ParamsMap = [("user", "a b"), ("after", "1"), ("after", "2")]
            .into_iter()
            .collect();
        let next = changed(params.clone(), &changes(&[("after", &["1", "2", "3&4"])]));
        assert_eq!(next, "?user=a%20b&after=1&after=2&after=3%264");
        let first = changed(params, &changes(&[("after", &[]), ("kind", &[""])]));
        assert_eq!(first, "?user=a%20b");
    }

    #[test]
    fn an_address_without_a_query_gets_one_only_where_there_is_something_to_say() {
        assert_eq!(changed(ParamsMap::new(), &changes(&[("q", &[])])), "");
        assert_eq!(
            changed(ParamsMap::new(), &changes(&[("q", &["a"])])),
            "?q=a"
        );
    }
}
