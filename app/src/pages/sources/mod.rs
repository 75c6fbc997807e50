//! `/admin/sources`: where messages come from, what each source delivered last, and where two
//! reports of one message differ; with `?message=…` all reports of that message, with `?source=…` how
//! complete the reports about a gateway source's messages are.

mod completeness;
mod list;
mod reports;

use leptos::prelude::*;
use leptos_meta::Title;

use crate::address::SOURCE;
use crate::api::query::{Query, QueryAnswer, use_query};
use crate::api::sources::SourcesView;
use crate::components::address_query::use_address_query;
use crate::components::answer::{answered, nothing};
use crate::components::erased::Erase;
use crate::text::use_text;
use completeness::{Reviewed, Source};

#[component]
pub fn SourcesPage() -> impl IntoView {
    let text = use_text();
    let address = use_address_query();
    let found = use_query(move || Query::Sources {
        message: address.get("message"),
        source: address.get(SOURCE),
    });
    // Stays while what it was about is asked for again.
    let reviewed = RwSignal::new(None::<Reviewed>);
    view! {
        <Title text=text.say(|t| t.sources.title) />
        {answered(found, move |answer| match answer {
            QueryAnswer::Sources(json) => {
                Ok(match json.read()? {
                    SourcesView::One(source) => {
                        view! { <Source source=*source address found reviewed /> }.erased()
                    }
                    SourcesView::All(all) => {
                        reviewed.set(None);
                        let message = untrack(|| address.get("message"));
                        view! {
                            <list::Sources sources=all.sources address />
                            <reports::Message message reports=all.reports />
                            <reports::Differences differences=all.differences />
                        }
                            .erased()
                    }
                })
            }
            _ => nothing(),
        })}
    }
    .erased()
}
