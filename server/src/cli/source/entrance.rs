use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use shared::source::SourceEntrance;

/// For clap: an entrance by its name, with what each is for.
pub(super) fn entrance() -> impl TypedValueParser<Value = SourceEntrance> {
    let names = SourceEntrance::ALL
        .map(|entrance| PossibleValue::new(entrance.as_str()).help(purpose(entrance)));
    PossibleValuesParser::new(names).try_map(|name| {
        let named = |entrance: &SourceEntrance| entrance.as_str() == name;
        let found = SourceEntrance::ALL.into_iter().find(named);
        found.ok_or("there is no such entrance")
    })
}

const fn purpose(entrance: SourceEntrance) -> &'static str {
    match entrance {
        SourceEntrance::Webhook => "An HTTP node or a relay posts what each message used",
        SourceEntrance::Gateway => "API clients call Dify through Tollgate",
        SourceEntrance::Langfuse => "Dify sends traces to Tollgate, as if to Langfuse",
        SourceEntrance::Guard => {
            "Dify asks Tollgate before it answers, as an API extension for content moderation"
        }
        SourceEntrance::Openai => "Dify calls its models through Tollgate",
    }
}
