//! What there is to say. Every field exists in every language.

/// All words of the pages, in one language.
pub struct Texts {
    pub common: Common,
    pub nav: Nav,
    pub missing: Missing,
    pub sign_in: SignIn,
    pub monitor: Monitor,
    pub outcome: Outcome,
    pub reason: Reason,
    pub category: Category,
    pub prices: Prices,
    pub calculator: Calculator,
    pub users: Users,
    pub my: My,
    pub balance: Balance,
    pub protection: Protection,
    pub kind: Kind,
    pub history: History,
    pub receipt: Receipt,
}

/// Words that several pages share.
pub struct Common {
    pub unreachable: &'static str,
    pub failed: &'static str,
    pub try_again: &'static str,
    pub not_yours: &'static str,
    pub not_yours_hint: &'static str,
    pub to_start: &'static str,
    pub loading: &'static str,
    pub dismiss: &'static str,
    pub cancel: &'static str,
    pub actions: &'static str,
    pub pages: &'static str,
    pub page_number: &'static str,
    pub previous_page: &'static str,
    pub next_page: &'static str,
    pub version_number: &'static str,
    pub time: &'static str,
    pub user: &'static str,
    pub model: &'static str,
    pub tokens: &'static str,
    pub points: &'static str,
    pub points_unit: &'static str,
    pub per_thousand: &'static str,
    pub balance: &'static str,
    pub total: &'static str,
    pub nobody: &'static str,
}

/// The frame around the pages.
pub struct Nav {
    pub skip: &'static str,
    pub main: &'static str,
    pub monitor: &'static str,
    pub prices: &'static str,
    pub calculator: &'static str,
    pub users: &'static str,
    pub my: &'static str,
    pub sign_out: &'static str,
    pub theme_system: &'static str,
    pub theme_light: &'static str,
    pub theme_dark: &'static str,
}

/// An address without a page.
pub struct Missing {
    pub title: &'static str,
    pub hint: &'static str,
}

/// Signing in.
pub struct SignIn {
    pub title: &'static str,
    pub hint: &'static str,
    pub name: &'static str,
    pub password: &'static str,
    pub submit: &'static str,
    pub user_hint: &'static str,
}

/// The live monitor.
pub struct Monitor {
    pub title: &'static str,
    pub live: &'static str,
    pub connecting: &'static str,
    pub reconnecting: &'static str,
    pub paused: &'static str,
    pub pause: &'static str,
    pub resume: &'static str,
    pub summary: &'static str,
    pub listed: &'static str,
    pub points_charged: &'static str,
    pub drawing: &'static str,
    pub caption: &'static str,
    pub outcome: &'static str,
    pub tokens_in_out: &'static str,
    pub source: &'static str,
    pub set_price: &'static str,
    pub announcement: &'static str,
    pub empty: &'static str,
    pub empty_hint: &'static str,
    pub example: &'static str,
    pub empty_price: &'static str,
}

/// What became of a delivery.
pub struct Outcome {
    pub charged: &'static str,
    pub duplicate: &'static str,
    pub quarantined: &'static str,
    pub conflict: &'static str,
    pub rejected: &'static str,
}

/// Why a delivery was not charged.
pub struct Reason {
    pub unknown_model: &'static str,
    pub inactive_price: &'static str,
    pub contradictory_tokens: &'static str,
    pub overflow: &'static str,
    pub zero_usage: &'static str,
    pub too_many_tokens: &'static str,
    pub message_conflict: &'static str,
    pub invalid_json: &'static str,
    pub invalid_field: &'static str,
    pub payload_too_large: &'static str,
}

/// Kinds of tokens, and what is charged beside them.
pub struct Category {
    pub title: &'static str,
    pub input: &'static str,
    pub cached_input: &'static str,
    pub cache_write: &'static str,
    pub output: &'static str,
    pub reasoning: &'static str,
    pub per_request: &'static str,
}

/// Models and prices.
pub struct Prices {
    pub title: &'static str,
    pub unit: &'static str,
    pub add: &'static str,
    pub caption: &'static str,
    pub more: &'static str,
    pub state: &'static str,
    pub version: &'static str,
    pub change: &'static str,
    pub change_model: &'static str,
    pub active: &'static str,
    pub inactive: &'static str,
    pub scheduled: &'static str,
    pub empty: &'static str,
    pub empty_hint: &'static str,
    pub back: &'static str,
    pub add_title: &'static str,
    pub edit_title: &'static str,
    pub model_name: &'static str,
    pub model_name_hint: &'static str,
    pub input: &'static str,
    pub output: &'static str,
    pub more_prices: &'static str,
    pub more_hint: &'static str,
    pub cached_input: &'static str,
    pub cache_write: &'static str,
    pub reasoning: &'static str,
    pub per_request: &'static str,
    pub start: &'static str,
    pub start_hint: &'static str,
    pub note_field: &'static str,
    pub note_hint: &'static str,
    pub publish: &'static str,
    pub publishing: &'static str,
    pub publish_hint: &'static str,
    pub told_published: &'static str,
    pub availability: &'static str,
    pub deactivate: &'static str,
    pub deactivate_consequence: &'static str,
    pub deactivate_confirm: &'static str,
    pub activate: &'static str,
    pub activate_consequence: &'static str,
    pub activate_confirm: &'static str,
    pub told_activated: &'static str,
    pub told_deactivated: &'static str,
    pub versions: &'static str,
    pub what_changed: &'static str,
    pub effective_from: &'static str,
    pub published: &'static str,
    pub note: &'static str,
    pub in_force: &'static str,
    pub since_ever: &'static str,
    pub was_activated: &'static str,
    pub was_deactivated: &'static str,
    pub nothing_changed: &'static str,
}

/// The calculator.
pub struct Calculator {
    pub title: &'static str,
    pub hint: &'static str,
    pub input_tokens: &'static str,
    pub output_tokens: &'static str,
    pub cached_input_tokens: &'static str,
    pub cache_write_tokens: &'static str,
    pub reasoning_tokens: &'static str,
    pub exclusive: &'static str,
    pub models: &'static str,
    pub own: &'static str,
    pub own_hint: &'static str,
    pub comparison: &'static str,
    pub pick_one: &'static str,
    pub fix_fields: &'static str,
}

/// Users and their balances.
pub struct Users {
    pub title: &'static str,
    pub search: &'static str,
    pub find: &'static str,
    pub open_label: &'static str,
    pub open: &'static str,
    pub open_user: &'static str,
    pub caption: &'static str,
    pub last_entry: &'static str,
    pub empty: &'static str,
    pub nobody_found: &'static str,
    pub empty_hint: &'static str,
    pub back: &'static str,
    pub change: &'static str,
    pub direction: &'static str,
    pub add: &'static str,
    pub take: &'static str,
    pub changing: &'static str,
    pub reason: &'static str,
    pub reason_hint: &'static str,
    pub change_hint: &'static str,
    pub told_changed: &'static str,
    pub link: &'static str,
    pub link_hint: &'static str,
    pub make_link: &'static str,
    pub link_label: &'static str,
    pub link_expires: &'static str,
    pub copy: &'static str,
    pub copied: &'static str,
}

/// The user's own page.
pub struct My {
    pub title: &'static str,
    pub try_title: &'static str,
    pub try_hint: &'static str,
    pub try_submit: &'static str,
    pub no_models: &'static str,
    pub let_through: &'static str,
}

/// An account's figures.
pub struct Balance {
    pub held: &'static str,
    pub available: &'static str,
    pub in_debt: &'static str,
}

/// BalanceProtection.
pub struct Protection {
    pub title: &'static str,
    pub estimate: &'static str,
    pub remaining: &'static str,
    pub breakdown: &'static str,
    pub affordable: &'static str,
    pub shortfall: &'static str,
    pub affordable_output: &'static str,
    pub affordable_nothing: &'static str,
    pub changed_meanwhile: &'static str,
    pub recharge: &'static str,
    pub ask_operator: &'static str,
    pub proceed: &'static str,
    pub checking: &'static str,
    pub not_priced: &'static str,
    pub price_inactive: &'static str,
    pub unreachable: &'static str,
    pub cannot_check: &'static str,
}

/// Kinds of journal entries.
pub struct Kind {
    pub charge: &'static str,
    pub grant: &'static str,
    pub adjustment: &'static str,
    pub refund: &'static str,
    pub rerate: &'static str,
    pub expiry: &'static str,
}

/// An account's entries.
pub struct History {
    pub title: &'static str,
    pub filters: &'static str,
    pub kind: &'static str,
    pub all_kinds: &'static str,
    pub from: &'static str,
    pub to: &'static str,
    pub apply: &'static str,
    pub reset: &'static str,
    pub balance_after: &'static str,
    pub empty: &'static str,
    pub nothing_found: &'static str,
}

/// The receipt of a charge.
pub struct Receipt {
    pub title: &'static str,
    pub agrees: &'static str,
    pub disagrees: &'static str,
    pub price_missing: &'static str,
    pub consumption: &'static str,
    pub message: &'static str,
    pub conversation: &'static str,
}
