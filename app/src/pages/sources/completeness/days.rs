//! The share that arrived: in one figure, drawn over time, and day by day in numbers.

use leptos::prelude::*;
use shared::api::{Completeness, CompletenessDay, arrived_share};
use shared::clock::Timestamp;

use crate::components::amount::count_text;
use crate::components::erased::Erase;
use crate::components::list::nothing_listed;
use crate::components::table::{
    Head::{Numbers, Words},
    table,
};
use crate::text::{Say, use_text};

/// Fewer days than that do not fill the drawing.
const COLUMNS_MIN: u64 = 14;
const MICROS_PER_DAY: i64 = 24 * 60 * 60 * 1_000_000;
/// Whatever is there can be seen, in hundredths of the drawing's height.
const HEIGHT_MIN: u64 = 4;

/// The whole at a glance.
pub fn summary(completeness: &Completeness) -> impl IntoView + use<> {
    let text = use_text();
    let (served, arrived) = completeness.served_and_arrived();
    if served == 0 {
        return nothing_listed(|t| t.completeness.nothing_served);
    }
    let counter = |label: Say, count: u64| {
        view! {
            <div>
                <dt>{text.say(label)}</dt>
                <dd class="num">{count_text(count)}</dd>
            </div>
        }
        .erased()
    };
    view! {
        <section class="card summary" aria-label=text.say(|t| t.completeness.title)>
            <p class="big">
                <span class="num nowrap">{arrived_share(served, arrived)}</span>
                " "
                <span class="quiet small">{text.say(|t| t.completeness.of_served)}</span>
            </p>
            {drawing(&completeness.days)}
            <dl class="counters">
                {counter(|t| t.completeness.served, served)}
                {counter(|t| t.completeness.arrived, arrived)}
                {counter(|t| t.completeness.missing, served.saturating_sub(arrived))}
            </dl>
        </section>
    }
    .erased()
}

/// A day's column: how far from the left in days, and how high in hundredths what arrived and what
/// is missing stand upon each other.
#[derive(Debug, PartialEq, Eq)]
struct Column {
    at: u64,
    arrived: u64,
    missing: u64,
}

fn day_number(day: &CompletenessDay) -> Option<i64> {
    let midnight: Timestamp = [&day.day, "T00:00:00Z"].concat().parse().ok()?;
    Some(midnight.unix_micros() / MICROS_PER_DAY)
}

/// The columns, and how many have room. Days without messages are gaps.
fn columns(days: &[CompletenessDay]) -> (Vec<Column>, u64) {
    let numbers = days.iter().filter_map(day_number);
    let (Some(first), Some(last)) = (numbers.clone().min(), numbers.max()) else {
        return (Vec::new(), COLUMNS_MIN);
    };
    let room = (last.abs_diff(first) + 1).max(COLUMNS_MIN);
    let tallest = days.iter().map(|day| day.served).max().unwrap_or(0);
    let height = |count: u64| {
        let hundredths = count.saturating_mul(100).checked_div(tallest).unwrap_or(0);
        hundredths.max(HEIGHT_MIN.min(count.saturating_mul(HEIGHT_MIN)))
    };
    let column = |day: &CompletenessDay| {
        let missing = height(day.served.saturating_sub(day.arrived));
        Some(Column {
            at: room - 1 - last.abs_diff(day_number(day)?),
            arrived: height(day.arrived).min(100 - missing),
            missing,
        })
    };
    (days.iter().filter_map(column).collect(), room)
}

/// Messages by day. The table holds the same numbers.
fn drawing(days: &[CompletenessDay]) -> AnyView {
    let text = use_text();
    let (columns, room) = columns(days);
    let (mut arrived, mut missing) = (String::new(), String::new());
    for column in columns {
        let left = (column.at * 10).to_string();
        for (path, bottom, height) in [
            (&mut arrived, 100, column.arrived),
            (&mut missing, 100 - column.arrived, column.missing),
        ] {
            let [bottom, height] = [bottom, height].map(|number| number.to_string());
            *path += &["M", &left, " ", &bottom, "v-", &height, "h8v", &height, "z"].concat();
        }
    }
    let view_box = ["0 0 ", &(room * 10 - 2).to_string(), " 100"].concat();
    view! {
        <svg
            class="bars"
            viewBox=view_box
            preserveAspectRatio="none"
            role="img"
            aria-label=text.say(|t| t.completeness.days)
        >
            <path d=arrived />
            <path class="lacking" d=missing />
        </svg>
    }
    .erased()
}

/// Every day in numbers.
#[component]
pub fn Days(days: Vec<CompletenessDay>) -> impl IntoView {
    let text = use_text();
    let row = |day: CompletenessDay| {
        let missing = day.served.saturating_sub(day.arrived);
        view! {
            <tr>
                <th scope="row" class="nowrap">
                    {day.day}
                </th>
                <td class="num">{count_text(day.served)}</td>
                <td class="num" class:negative=missing != 0>
                    {count_text(missing)}
                </td>
                <td class="num">{arrived_share(day.served, day.arrived)}</td>
            </tr>
        }
        .erased()
    };
    let rows = days.into_iter().map(row).collect_view();
    view! {
        <section class="card" aria-labelledby="days-title">
            <h2 id="days-title">{text.say(|t| t.completeness.days)}</h2>
            <div class="scroll tall" tabindex="0">
                {table(
                    "quote",
                    |t| t.completeness.days,
                    &[
                        Words(|t| t.common.time),
                        Numbers(|t| t.completeness.served),
                        Numbers(|t| t.completeness.missing),
                        Numbers(|t| t.completeness.arrived),
                    ],
                    view! { <tbody>{rows}</tbody> }.erased(),
                )}
            </div>
        </section>
    }
    .erased()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: &str, served: u64, arrived: u64) -> CompletenessDay {
        CompletenessDay {
            day: day.into(),
            served,
            arrived,
        }
    }

    fn column(at: u64, arrived: u64, missing: u64) -> Column {
        Column {
            at,
            arrived,
            missing,
        }
    }

    #[test]
    fn days_stand_where_they_belong_the_last_at_the_right() {
        let days = [day("2026-03-01", 200, 200), day("2026-02-27", 100, 50)];
        let expected = vec![column(13, 100, 0), column(11, 25, 25)];
        assert_eq!(columns(&days), (expected, COLUMNS_MIN));
        let (_, room) = columns(&[day("2026-03-01", 1, 1), day("2026-01-01", 1, 1)]);
        assert_eq!(room, 60);
        assert_eq!(columns(&[]), (Vec::new(), COLUMNS_MIN));
    }

    #[test]
    fn one_missing_message_among_thousands_can_be_seen() {
        let (drawn, _) = columns(&[day("2026-03-01", 100_000, 99_999)]);
        assert_eq!(drawn, [column(13, 96, HEIGHT_MIN)]);
        let (drawn, _) = columns(&[day("2026-03-01", 0, 0)]);
        assert_eq!(drawn, [column(13, 0, 0)]);
    }
}
