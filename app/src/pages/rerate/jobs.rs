//! The latest jobs, followed until they are finished.

use std::time::Duration;

use leptos::prelude::*;

use crate::api::query::{QueryAnswer, QueryResource};
use crate::api::rerate::{JobKind, JobView};
use crate::components::amount::count_text;
use crate::components::answer::{answered, nothing};
use crate::components::badge::{Badge, Tone};
use crate::components::erased::{Erase, words};
use crate::components::list::{ListSection, listed, nothing_listed};
use crate::components::moment::Moment;
use crate::components::table::Head::Words;
use crate::text::{fill, use_text};

/// How often a job under way is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[component]
pub fn Jobs(jobs: QueryResource) -> impl IntoView {
    let list = answered(jobs, move |answer| match answer {
        QueryAnswer::Jobs(json) => Ok(listed_jobs(json.read()?, jobs)),
        _ => nothing(),
    });
    view! { <ListSection id="jobs-title" title=|t| t.rerate.jobs list=Some(list) /> }.erased()
}

/// While any job is under way they are read again and again.
fn listed_jobs(list: Vec<JobView>, jobs: QueryResource) -> AnyView {
    if list.iter().any(|job| !job.is_finished) {
        Effect::new(move |_| {
            let look = set_timeout_with_handle(move || jobs.refetch(), LOOK_AGAIN);
            on_cleanup(move || {
                if let Ok(look) = look {
                    look.clear();
                }
            });
        });
    }
    listed(
        |t| t.rerate.jobs,
        &[
            Words(|t| t.rerate.job),
            Words(|t| t.rerate.state),
            Words(|t| t.rerate.messages),
            Words(|t| t.rerate.begun),
        ],
        list.into_iter().map(row).collect(),
        || nothing_listed(|t| t.rerate.no_jobs),
    )
}

fn row(job: JobView) -> AnyView {
    let text = use_text();
    let JobView {
        kind,
        about,
        done,
        total,
        created_at,
        created_by,
        is_finished,
        has_failed,
    } = job;
    let what = words(move || {
        let words = &text.get().rerate;
        let template = match kind {
            JobKind::Release => words.job_release,
            JobKind::Rerate => words.job_rerate,
        };
        fill(template, &[&about])
    });
    let is_nothing = done == 0 && total == 0;
    let counts = [done, total.max(done)].map(count_text);
    let progress = words(move || {
        let words = &text.get().rerate;
        if is_finished && is_nothing {
            return words.nothing_to_do.to_owned();
        }
        let [done, total] = &counts;
        fill(words.progress, &[done, total])
    });
    // The words beside it say the same.
    let bar = (!is_finished).then(|| {
        let share = done
            .saturating_mul(100)
            .checked_div(total)
            .unwrap_or(0)
            .min(100);
        let style = ["width:", &share.to_string(), "%"].concat();
        view! {
            <span class="bar-track" aria-hidden="true">
                <span class="bar-fill" style=style></span>
            </span>
        }
        .erased()
    });
    let state = if has_failed {
        view! { <Badge tone=Tone::Bad label=|t| t.rerate.failed /> }.erased()
    } else if is_finished {
        view! { <Badge tone=Tone::Good label=|t| t.rerate.done /> }.erased()
    } else {
        view! { <Badge tone=Tone::Waiting label=|t| t.rerate.running /> }.erased()
    };
    view! {
        <tr>
            <th scope="row" class="name" data-label=text.say(|t| t.rerate.job)>
                {what}
            </th>
            <td data-label=text.say(|t| t.rerate.state)>{state}</td>
            <td data-label=text.say(|t| t.rerate.messages)>
                <span class="num">{progress}</span>
                {bar}
            </td>
            <td data-label=text.say(|t| t.rerate.begun)>
                <Moment at=created_at /> " " <span class="quiet">{created_by}</span>
            </td>
        </tr>
    }
    .erased()
}
