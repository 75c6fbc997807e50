//! A price as it is typed. The browser and the server check it with the same code.

use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;
use shared::ids::ModelName;
use shared::money::{Points, UnitPrice};
use shared::price::{PriceVersion, Rates};
use shared::problem::{FieldFault, Problem};

use super::fields::{amount, optional_amount};

/// Longest note, in characters.
const NOTE_CHARS_MAX: u16 = 500;

/// Fields of the form, by the names in which faults are reported.
pub const FIELDS: [&str; 9] = [
    "modelName",
    "input",
    "output",
    "cachedInput",
    "cacheWrite",
    "reasoning",
    "perRequest",
    "effectiveFrom",
    "note",
];

/// What the form holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceDraft {
    pub model_name: String,
    /// Points per 1,000 tokens, as the four below; the optional ones may be empty.
    pub input: String,
    pub output: String,
    pub cached_input: String,
    pub cache_write: String,
    pub reasoning: String,
    /// Points.
    pub per_request: String,
    pub is_active: bool,
    /// `None` is now.
    pub effective_from: Option<Timestamp>,
    pub note: String,
    /// The latest version the editor saw; 0 for a new model.
    pub expected_version: i32,
}

/// A draft that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    pub model_name: ModelName,
    pub rates: Rates,
    pub note: Option<String>,
}

impl PriceDraft {
    /// A version as the draft of the next one.
    #[must_use]
    pub fn of(version: PriceVersion) -> Self {
        let rates = version.rates;
        let typed = |price: Option<UnitPrice>| price.map(|price| price.to_string());
        Self {
            model_name: String::from(version.model_name),
            input: rates.input.to_string(),
            output: rates.output.to_string(),
            cached_input: typed(rates.cached_input).unwrap_or_default(),
            cache_write: typed(rates.cache_write).unwrap_or_default(),
            reasoning: typed(rates.reasoning).unwrap_or_default(),
            per_request: rates.per_request.to_string(),
            is_active: version.is_active,
            effective_from: None,
            note: String::new(),
            expected_version: version.version,
        }
    }

    /// # Errors
    /// [`Problem::InvalidField`] for the first field that does not make sense.
    pub fn parse(&self) -> Result<Parsed, Problem> {
        let model_name = self
            .model_name
            .parse()
            .map_err(|fault| Problem::field("modelName", fault))?;
        let rates = parse_rates([
            &self.input,
            &self.output,
            &self.cached_input,
            &self.cache_write,
            &self.reasoning,
            &self.per_request,
        ])?;
        let note = self.note.trim();
        if note.chars().count() > usize::from(NOTE_CHARS_MAX) {
            return Err(Problem::field(
                "note",
                FieldFault::TooLong {
                    max: NOTE_CHARS_MAX,
                },
            ));
        }
        Ok(Parsed {
            model_name,
            rates,
            note: (!note.is_empty()).then(|| note.to_owned()),
        })
    }
}

/// Reads input, output, cached input, cache write, reasoning and the per-request price; the last
/// four may be empty.
///
/// # Errors
/// [`Problem::InvalidField`] for the first that is not a price.
pub fn parse_rates(typed: [&str; 6]) -> Result<Rates, Problem> {
    let [
        input,
        output,
        cached_input,
        cache_write,
        reasoning,
        per_request,
    ] = typed;
    Ok(Rates {
        input: amount("input", input)?,
        output: amount("output", output)?,
        cached_input: optional_amount("cachedInput", cached_input)?,
        cache_write: optional_amount("cacheWrite", cache_write)?,
        reasoning: optional_amount("reasoning", reasoning)?,
        per_request: match optional_amount::<Points>("perRequest", per_request)? {
            Some(points) if points.is_negative() => {
                return Err(Problem::field("perRequest", FieldFault::Negative));
            }
            points => points.unwrap_or_default(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> PriceDraft {
        PriceDraft {
            model_name: " GPT-4 ".into(),
            input: "30".into(),
            output: "60".into(),
            note: "  ".into(),
            is_active: true,
            ..PriceDraft::default()
        }
    }

    #[test]
    fn a_draft_with_the_two_prices_is_complete() {
        let parsed = draft().parse().unwrap();
        assert_eq!(parsed.model_name.as_str(), "GPT-4");
        assert_eq!(parsed.rates.input.nano_per_token(), 30_000_000);
        assert_eq!(parsed.rates.cached_input, None);
        assert_eq!(parsed.note, None);
    }

    #[test]
    fn prices_may_be_grouped_by_thousands() {
        let mut draft = draft();
        draft.input = "1,500".into();
        draft.cached_input = "1 500.25".into();
        draft.per_request = "2，000".into();
        let rates = draft.parse().unwrap().rates;
        assert_eq!(rates.input.to_string(), "1500");
        assert_eq!(rates.cached_input.unwrap().to_string(), "1500.25");
        assert_eq!(rates.per_request.to_string(), "2000");
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let fault = |change: fn(&mut PriceDraft)| {
            let mut draft = draft();
            change(&mut draft);
            draft.parse().unwrap_err().field_name().unwrap().to_owned()
        };
        assert_eq!(fault(|draft| draft.model_name = " ".into()), "modelName");
        assert_eq!(fault(|draft| draft.input = "abc".into()), "input");
        assert_eq!(fault(|draft| draft.output.clear()), "output");
        assert_eq!(
            fault(|draft| draft.cached_input = "-1".into()),
            "cachedInput"
        );
        assert_eq!(
            fault(|draft| draft.reasoning = "1.0000001".into()),
            "reasoning"
        );
        assert_eq!(
            fault(|draft| draft.per_request = "-0.1".into()),
            "perRequest"
        );
        assert_eq!(fault(|draft| draft.note = "n".repeat(501)), "note");
    }
}
