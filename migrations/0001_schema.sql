-- Tollgate's books. Amounts are nanopoints (10^-9 point), unit prices nanopoints per token, in bigint; hashes are
-- SHA-256; the id of a message is the first 16 bytes of one. Landed migrations never change.

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: correct a mistake with a new row', tg_table_name
        using errcode = 'restrict_violation';
end
$$;

-- ── who, and how they come in ─────────────────────────────────────────────────────────────────────────────────

-- A namespace stands for one Dify installation: ids of messages are unique within it.
create table namespace (
    namespace_id bigint primary key generated always as identity,
    name text not null unique,
    created_at timestamptz not null default now()
);
insert into namespace (name) values ('default');

-- Who did what, from where, with the values before and after. Written in the transaction of the change.
create table audit_log (
    audit_id bigint primary key generated always as identity,
    at timestamptz not null default now(),
    actor text not null,
    origin text not null,
    action text not null,
    subject text not null,
    before jsonb,
    after jsonb
);
create trigger append_only before update or delete on audit_log
    for each row execute function refuse_change();
create trigger no_truncate before truncate on audit_log
    for each statement execute function refuse_change();

create table administrator (
    administrator_id bigint primary key generated always as identity,
    name text not null unique,
    password_hash text not null,
    created_at timestamptz not null default now()
);

-- Signed-in administrators, and end users who hold a short-lived token. Only the token's hash is here.
create table session (
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    administrator_id bigint references administrator,
    user_id text,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    check (num_nonnulls(administrator_id, user_id) = 1)
);
create index session_expiry on session (expires_at);

-- Failed sign-ins, counted per bucket (an origin, or a name at an origin) in windows.
create table sign_in_failure (
    bucket text primary key,
    window_start timestamptz not null,
    failures integer not null
);

-- Keys. Those of a source open one entrance each; settings say how what comes in through it is treated.
create table api_key (
    api_key_id uuid primary key,
    namespace_id bigint not null references namespace,
    name text not null,
    scope text not null check (scope in ('webhook', 'points', 'admin', 'gateway', 'langfuse', 'guard', 'openai')),
    -- The first characters, to recognise a key by; the key itself is only here as a hash.
    prefix text not null,
    key_hash bytea not null unique check (octet_length(key_hash) = 32),
    -- Needed in clear to check signatures, hence sealed, not hashed.
    signing_secret_sealed bytea not null,
    require_signature boolean not null,
    created_at timestamptz not null default now(),
    created_by text not null,
    revoked_at timestamptz,
    settings jsonb not null default '{}',
    -- What the server behind the source is called with; needed in clear, hence sealed, not hashed.
    upstream_key_sealed bytea
);
-- A name finds the app for whoever calls the gateway with a user token.
create unique index api_key_gateway on api_key (name) where scope = 'gateway' and revoked_at is null;

-- Requests that their sender gave a key, so that a repetition gets the first answer instead of being done again.
-- Belongs to no account, because the same key for two users must collide.
create table idempotency (
    -- Whose key it is: the keys of two senders are apart.
    caller text not null,
    idempotency_key text not null,
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    -- Null only inside the transaction that does what was asked for.
    answer jsonb,
    created_at timestamptz not null default now(),
    primary key (caller, idempotency_key)
);
create index idempotency_age on idempotency (created_at);

-- Work that outlives a request: resumed by whichever process finds it.
create table job (
    job_id uuid primary key,
    kind text not null,
    parameters jsonb not null,
    total bigint not null default 0,
    done bigint not null default 0,
    created_at timestamptz not null default now(),
    created_by text not null,
    finished_at timestamptz,
    error text
);
create index job_open on job (created_at) where finished_at is null;

-- ── prices ────────────────────────────────────────────────────────────────────────────────────────────────────

-- Published prices. A new price is a new version; nothing rewrites an old one.
create table price_version (
    price_version_id bigint primary key generated always as identity,
    model_key text not null,
    model_name text not null,
    version integer not null check (version > 0),
    input_nano bigint not null check (input_nano >= 0),
    output_nano bigint not null check (output_nano >= 0),
    cached_input_nano bigint check (cached_input_nano >= 0),
    cache_write_nano bigint check (cache_write_nano >= 0),
    reasoning_nano bigint check (reasoning_nano >= 0),
    per_request_nano bigint not null check (per_request_nano >= 0),
    is_active boolean not null,
    -- Null is "since ever": a model's first version also covers what happened before it.
    effective_from timestamptz,
    created_at timestamptz not null default now(),
    created_by text not null,
    note text,
    unique (model_key, version),
    check (version = 1 or effective_from is not null)
);
create trigger append_only before update or delete on price_version
    for each row execute function refuse_change();
create trigger no_truncate before truncate on price_version
    for each statement execute function refuse_change();

-- ── accounts and their journal ────────────────────────────────────────────────────────────────────────────────

-- One account for each end user. account_id is derived from user_id, so an account is found, and placed on a
-- shard, without a lookup.
create table account (
    account_id uuid primary key,
    user_id text not null,
    balance_nano bigint not null default 0,
    held_nano bigint not null default 0 check (held_nano >= 0),
    -- How far below zero new holds may go; charges of what was really used always land.
    debt_limit_nano bigint not null default 0 check (debt_limit_nano >= 0),
    entry_count bigint not null default 0 check (entry_count >= 0),
    last_hash bytea not null check (octet_length(last_hash) = 32),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (account_id, user_id)
) with (fillfactor = 70);
create index account_user on account (user_id text_pattern_ops);

-- The system account on the other side of a transfer.
create function counter_account(kind text) returns text language sql immutable parallel safe as $$
    select case kind
        when 'grant' then 'issuance'
        when 'expiry' then 'expiry'
        when 'adjustment' then 'adjustment'
        else 'revenue'
    end
$$;

-- What a journal entry must be, in one function instead of a dozen checks: Postgres reads the text of each check
-- anew for every statement that inserts.
create function is_sound_entry(entry bigint, kind text, amount_nano bigint, message uuid, message_id text,
    lines jsonb, cost_nano bigint, owed_nano bigint, basis_nano bigint, cap_nano bigint, corrects_entry bigint,
    follows_entry bigint, reason text, actor text, hash bytea)
returns boolean language plpgsql immutable parallel safe as $$
begin
    return entry > 0 and octet_length(hash) = 32
        and (corrects_entry is null or (corrects_entry > 0 and corrects_entry < entry))
        and (follows_entry is null or (follows_entry > 0 and follows_entry < entry))
        and (message is null) = (lines is null)
        and (lines is null or jsonb_typeof(lines) = 'array')
        -- A message's first charge is all that it costs and owes, so it does without its state.
        and num_nonnulls(cost_nano, owed_nano, basis_nano, cap_nano) =
            case when message is null or kind = 'charge' then 0 else 4 end
        and (cost_nano is null or (owed_nano between 0 and cost_nano and basis_nano >= 0 and cap_nano >= 0))
        and (kind in ('charge', 'correction') or (reason is not null and actor is not null))
        and case kind
            when 'charge' then amount_nano <= 0 and message_id is not null and follows_entry is null
                and corrects_entry is null
            when 'correction' then message_id is not null and follows_entry is not null and corrects_entry is not null
            when 'refund' then amount_nano > 0 and message is not null and follows_entry is not null
                and corrects_entry is not null
            when 'rerate' then amount_nano <> 0 and message is not null and follows_entry is not null
                and corrects_entry is not null
            when 'grant' then amount_nano > 0 and message is null
            when 'expiry' then amount_nano < 0 and message is null and corrects_entry is not null
            when 'adjustment' then amount_nano <> 0 and message is null
            else false
        end;
end
$$;

-- Every entry is a transfer between the account and a system account. amount_nano is what the account gained; the
-- counter account lost as much, so all accounts always sum to zero. An entry of a message says what the message
-- costs after it: its lines, and what they add up to.
create table journal_entry (
    account_id uuid not null,
    entry bigint not null,
    recorded_at timestamptz not null,
    occurred_at timestamptz not null,
    -- Readers follow the journal in the order of commit.
    tx xid8 not null default pg_current_xact_id(),
    amount_nano bigint not null,
    balance_after_nano bigint not null,
    kind text not null,
    -- The entry that this one puts right (of a message its first), or whose points it takes back.
    corrects_entry bigint,
    -- The message's entry before this one.
    follows_entry bigint,
    message uuid,
    -- Whose report it is. Refunds and re-ratings have none.
    api_key_id uuid,
    namespace_id bigint,
    entrance text,
    message_id text,
    conversation_id text,
    request_id text,
    -- [{"model", "in", "cached", "write", "out", "reasoning", "version", "cost", "by", "call", "whole", "report"}]:
    -- one request to a model each; what is 0, or as it usually is, is left out.
    lines jsonb,
    -- What the lines cost, and what the account owes of that; basis and cap are cost and rest at the last refund.
    cost_nano bigint,
    owed_nano bigint,
    basis_nano bigint,
    cap_nano bigint,
    reason text,
    actor text,
    hash bytea not null,
    primary key (account_id, entry, recorded_at),
    constraint journal_entry_sound check (is_sound_entry(entry, kind, amount_nano, message, message_id, lines,
        cost_nano, owed_nano, basis_nano, cap_nano, corrects_entry, follows_entry, reason, actor, hash))
) partition by range (recorded_at);
create trigger append_only before update or delete on journal_entry
    for each row execute function refuse_change();
create trigger no_truncate before truncate on journal_entry
    for each statement execute function refuse_change();
create index journal_order on journal_entry (tx);
create index journal_source on journal_entry (api_key_id, tx) where api_key_id is not null;
-- Finds what was entered long after it happened without reading everything entered since.
create index journal_late on journal_entry (account_id, entry)
    where recorded_at - occurred_at > interval '1 hour';
create table journal_entry_default partition of journal_entry default;

-- Points by where they came from and until when they are good. What is left of all of an account's credits is its
-- balance, as long as that is not negative.
create table credit (
    account_id uuid not null,
    -- The entry that brought the points.
    entry bigint not null,
    amount_nano bigint not null check (amount_nano > 0),
    remaining_nano bigint not null check (remaining_nano between 0 and amount_nano),
    is_bought boolean not null,
    expires_at timestamptz,
    -- What is left changes with every charge. In the predicate of an index it would make each change a new entry in
    -- every index of the table; whether it is spent changes once.
    is_spent boolean not null generated always as (remaining_nano = 0) stored,
    primary key (account_id, entry)
) with (fillfactor = 70);
create index credit_expiry on credit (expires_at) where not is_spent and expires_at is not null;

-- Points promised to calls that are under way. held_nano of the account is the sum of the open ones.
create table hold (
    account_id uuid not null,
    hold_id uuid not null,
    amount_nano bigint not null check (amount_nano >= 0),
    -- Null for calls of an app whose model is not known beforehand.
    model_name text,
    status text not null default 'open' check (status in ('open', 'settled', 'released', 'expired')),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    closed_at timestamptz,
    -- The message that settled it.
    message uuid,
    primary key (account_id, hold_id),
    check ((status = 'open') = (closed_at is null)),
    check ((status = 'settled') = (message is not null))
);
create index hold_expiry on hold (expires_at) where status = 'open';

-- How far an account's entries were verified: verification goes on from here. All of it is sealed with the key that
-- seals secrets, so that nobody moves it unnoticed who has only the database.
create table account_checkpoint (
    account_id uuid primary key,
    -- The last entry that was verified, its hash, and the balance after it.
    entry bigint not null check (entry > 0),
    hash bytea not null check (octet_length(hash) = 32),
    balance_nano bigint not null,
    -- What was left then, [{"entry", "amount", "left", "isBought", "expiresAt"}], in the order in which it is used.
    credits jsonb not null,
    seal bytea not null,
    checked_at timestamptz not null
) with (fillfactor = 70);

-- ── messages ──────────────────────────────────────────────────────────────────────────────────────────────────

-- An id belongs to a message: the one place that makes sure that a message is charged once. It belongs to no
-- account, because the same message under two users must collide. Stays for ever.
create table claim (
    -- Digests of the namespace and the id; of the message, of the first id that it was known by.
    id uuid primary key,
    message uuid not null,
    -- Where the message was first charged, if that is how the id came to be claimed.
    account_id uuid,
    entry bigint,
    check ((account_id is null) = (entry is null))
);
create trigger append_only before update or delete on claim
    for each row execute function refuse_change();
create trigger no_truncate before truncate on claim
    for each statement execute function refuse_change();

-- What happened to a message beside its first charge, numbered: whoever adds something adds the next number, so
-- that of two who do it at once one has to read again. Number 0 is the first charge's own report, and has a row
-- only where the lines of that entry do not tell the report whole. Stays for ever.
create table message_event (
    message uuid not null,
    number integer not null check (number >= 0),
    -- A report in effect; one that waits; a refund; other price versions for some models; the end of this message,
    -- because it turned out to be another one.
    kind text not null check (kind in ('report', 'waiting', 'refund', 'rerate', 'joined')),
    tx xid8 not null default pg_current_xact_id(),
    recorded_at timestamptz not null,
    account_id uuid not null,
    -- The entry that it made, if it changed what the message owes.
    entry bigint,
    -- Of a report: who says it, when it happened, and what was used.
    api_key_id uuid,
    entrance text,
    occurred_at timestamptz,
    usage jsonb,
    -- The number that it counts under, if it waited before.
    counts_as integer,
    -- Where it waits.
    quarantine_id uuid,
    -- Of a rerate: the price version of each model key.
    versions jsonb,
    -- Of the end: the message that it is. Of a report: the message that it first belonged to.
    other uuid,
    -- What the message costs after it, where that changed and what it owes did not: as in a journal entry.
    lines jsonb,
    cost_nano bigint,
    owed_nano bigint,
    basis_nano bigint,
    cap_nano bigint,
    primary key (message, number),
    check ((kind in ('report', 'waiting')) = (num_nonnulls(usage, entrance, occurred_at, api_key_id) = 4)),
    check ((kind = 'waiting') = (quarantine_id is not null)),
    check (kind <> 'refund' or entry is not null),
    check ((kind = 'rerate') = (versions is not null)),
    check (kind <> 'joined' or other is not null),
    check (num_nonnulls(lines, cost_nano, owed_nano, basis_nano, cap_nano) in (0, 5))
);
create trigger append_only before update or delete on message_event
    for each row execute function refuse_change();
create trigger no_truncate before truncate on message_event
    for each statement execute function refuse_change();
-- What changed a message without an entry: sums follow it.
create index message_event_order on message_event (tx) where lines is not null or kind = 'joined';
-- Lists the reports that changed nothing that is owed, newest first: some of them differ.
create index message_event_unpaid on message_event (recorded_at, message, number) where kind = 'report' and entry is null;
-- Finds the messages that turned out to be one.
create index message_event_joined on message_event (other) where kind = 'joined';

-- Reports that could not be charged yet, and bodies that could not be read. Open ones stay for ever.
create table quarantine (
    quarantine_id uuid primary key,
    namespace_id bigint not null,
    api_key_id uuid not null references api_key,
    entrance text not null,
    received_at timestamptz not null,
    reason text not null check (reason in ('unknown_model', 'inactive_price', 'contradictory_tokens',
        'zero_usage', 'too_many_tokens', 'overflow', 'unreadable', 'incomplete_trace', 'another_user')),
    -- The report's place among those of its message; null when the body does not tell who used what.
    message uuid,
    number integer,
    model_keys text[] not null,
    -- The hold that it settles, whatever becomes of it.
    hold_id uuid,
    -- As it was read from the body, and whether the message may go on.
    report jsonb,
    continues boolean not null default false,
    body bytea not null,
    -- The same body twice waits once.
    body_digest bytea check (octet_length(body_digest) = 32),
    status text not null default 'waiting' check (status in ('waiting', 'charged', 'dismissed')),
    resolved_at timestamptz,
    resolved_by text,
    resolution text,
    check ((status = 'waiting') = (resolved_at is null)),
    check ((report is null) = (reason in ('unreadable', 'incomplete_trace'))),
    check (num_nonnulls(report, message, number) in (0, 3)),
    check ((report is null) = (body_digest is not null))
);
create unique index quarantine_body on quarantine (namespace_id, body_digest)
    where status = 'waiting' and body_digest is not null;
create unique index quarantine_message on quarantine (message, number) where message is not null;
create index quarantine_waiting_age on quarantine (received_at, quarantine_id) where status = 'waiting';

-- Authenticated deliveries that charged nothing, in the order of commit as far as a reader needs it: (tx, id)
-- grows, and rows of transactions older than the oldest running one never get company. What charged something is
-- in the journal, in the same order. A log and no book: what is owed does not depend on it, an id is known by its
-- claim, and what waits is in quarantine. So whole months of it are dropped some day.
create table delivery (
    tx xid8 not null default pg_current_xact_id(),
    id bigint not null generated always as identity,
    -- Received may be long before: what waited in quarantine is delivered again.
    recorded_at timestamptz not null,
    received_at timestamptz not null,
    api_key_id uuid not null,
    entrance text not null,
    outcome text not null check (outcome in ('duplicate', 'quarantined', 'conflict', 'rejected')),
    reason text,
    message_id text,
    user_id text,
    model_names text[] not null default '{}',
    input_tokens bigint not null default 0,
    output_tokens bigint not null default 0,
    -- Of a duplicate: what its message owes, and the balance after that.
    charge_nano bigint,
    balance_after_nano bigint,
    -- Kept where the body is needed to understand what went wrong.
    body bytea,
    primary key (tx, id, recorded_at)
) partition by range (recorded_at);
create index delivery_source on delivery (api_key_id, tx desc, id desc);
create table delivery_default partition of delivery default;

-- The months of logs that are no longer there.
create table dropped_log (
    log text not null,
    -- Its first day (UTC).
    month date not null,
    dropped_at timestamptz not null default now(),
    rows bigint not null check (rows > 0),
    -- Of the rows as text, so that a copy made before can be told to be whole: set timezone to 'UTC';
    -- copy (select * from … order by tx, id) to stdout.
    sha256 bytea not null check (octet_length(sha256) = 32),
    primary key (log, month, dropped_at)
);
create trigger append_only before update or delete on dropped_log
    for each row execute function refuse_change();
create trigger no_truncate before truncate on dropped_log
    for each statement execute function refuse_change();

-- ── sums ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- Sums of the journal are kept behind the commit, up to a mark; readers add what was entered after it.

-- What sums are told apart by, beside account and time. Few rows: whatever else is to tell them apart (the group
-- that a charge was made for, a provider where the model does not name it) becomes another column here.
create table sum_dimension (
    sum_dimension_id integer primary key generated always as identity,
    -- Of the entry. What changed a message without one: correction, or rerate.
    kind text not null,
    -- Empty, empty and nil for what belongs to no line, no message.
    model_key text not null,
    evidence text not null,
    -- The source that charged the message first.
    api_key_id uuid not null,
    unique (kind, model_key, evidence, api_key_id)
);

-- Nearly every message may have a row of its own, so they are narrow: numerics of few digits, and times in
-- quarters of an hour since 1970 (UTC). One row serves both clocks, because both mostly say the same. Beyond three
-- months both are those at which a day begins. The nil account is all of them together.
create table usage_sum (
    account_id uuid not null,
    -- When it was entered; when the message happened, whatever corrected it later.
    booked integer not null,
    happened integer not null,
    sum_dimension_id integer not null,
    -- Entries, messages and model calls: each once, the first two with the first line.
    entries integer not null,
    messages integer not null,
    calls integer not null,
    input numeric not null,
    cached_input numeric not null,
    cache_write numeric not null,
    output numeric not null,
    reasoning numeric not null,
    -- What the balance gained: of lines their cost, negated; what a refund makes of that has no model.
    amount_nano numeric not null,
    cost_nano numeric not null,
    primary key (account_id, booked, sum_dimension_id, happened)
) with (fillfactor = 90);
create index usage_sum_time on usage_sum (booked);
-- Finds by the time of the message what the time of entry does not.
create index usage_sum_late on usage_sum (account_id, happened) where happened <> booked;

-- What sums are kept up to; one row.
create table sum_mark (
    is_only boolean primary key default true check (is_only),
    -- Everything of transactions before this one is in the sums, and nothing else.
    tx xid8 not null default '0',
    -- Quarters before this one are folded into days.
    folded_until integer not null default 0 check (folded_until % 96 = 0)
);
insert into sum_mark default values;

create type sum_change as (account_id uuid, booked integer, happened integer, sum_dimension_id integer,
    entries bigint, messages bigint, calls bigint, input bigint, cached_input bigint, cache_write bigint,
    output bigint, reasoning bigint, amount_nano bigint, cost_nano bigint);

-- ── traces, paused runs, completeness ─────────────────────────────────────────────────────────────────────────

-- Traces: what arrives in several parts, in any order, before it makes a message.
create table trace (
    namespace_id bigint not null references namespace,
    trace_id text not null,
    api_key_id uuid not null references api_key,
    -- Counts what arrived, so that what arrives while the rest is being delivered is not overlooked.
    revision bigint not null default 1,
    seen_at timestamptz not null default now(),
    -- When it is to be looked at; null when all that is known of it is delivered.
    due_at timestamptz default now(),
    primary key (namespace_id, trace_id)
);
create index trace_due on trace (due_at) where due_at is not null;
create index trace_done on trace (seen_at) where due_at is null;

create table trace_part (
    namespace_id bigint not null,
    trace_id text not null,
    part_id text not null,
    -- What was read of its events.
    part jsonb not null,
    -- Its last event, as received.
    body text not null,
    received_at timestamptz not null default now(),
    -- When it became part of a delivery or, for want of the rest, of the quarantine.
    reported_at timestamptz,
    primary key (namespace_id, trace_id, part_id),
    foreign key (namespace_id, trace_id) references trace on delete cascade
);

-- What Dify says it served, beside what arrived here. Latest check of each source.
create table completeness_check (
    api_key_id uuid primary key references api_key,
    begun_at timestamptz not null,
    ended_at timestamptz,
    error text
);

-- Messages that used tokens, by the day (UTC) they happened on.
create table completeness_day (
    api_key_id uuid not null references api_key,
    day date not null,
    served bigint not null check (served >= 0),
    arrived bigint not null check (arrived between 0 and served),
    primary key (api_key_id, day)
);

-- Messages that nobody had reported when they were looked for. Those that arrive later stay here and are missing
-- no longer.
create table missing_message (
    namespace_id bigint not null references namespace,
    message_id text not null,
    -- The digest under which it is claimed once it arrives.
    message uuid not null,
    api_key_id uuid not null references api_key,
    user_id text not null,
    conversation_id text,
    occurred_at timestamptz not null,
    -- Null where Dify tells only a total, which is then the input, or nothing.
    input_tokens bigint,
    output_tokens bigint,
    found_at timestamptz not null default now(),
    primary key (namespace_id, message_id)
);
create index missing_message_source on missing_message (api_key_id, occurred_at);

-- Runs that Dify has paused for a person's input. What they use when they go on is looked for until they have
-- ended; then their row goes.
create table paused_run (
    api_key_id uuid not null references api_key,
    run_id text not null,
    -- What the run is charged as: of a chatflow its message.
    message_id text not null,
    -- Whose run it is, who need not be the one who fills in the form.
    user_id text not null,
    -- Blanks around a user's name are part of it for Dify, which finds no run by another name.
    dify_user text,
    -- Digests of the tokens of the forms that are waited for.
    forms bytea[] not null default '{}',
    paused_at timestamptz not null default now(),
    -- Looks since then that found it still paused, or not at all.
    looks integer not null default 0,
    -- When it is looked at next.
    due_at timestamptz not null,
    -- Until when it belongs to the process that follows it now.
    followed_until timestamptz,
    primary key (api_key_id, run_id)
);
create index paused_run_due on paused_run (due_at);
create index paused_run_user on paused_run (user_id);

-- ── what writers send, and what they expect ───────────────────────────────────────────────────────────────────

-- Rows to be written, as arrays of these.
create type account_change as (account_id uuid, entry_count_read bigint, entry_count bigint, balance_nano bigint,
    last_hash bytea);
create type account_limits as (account_id uuid, held_nano bigint, debt_limit_nano bigint);
create type new_entry as (account_id uuid, entry bigint, occurred_at timestamptz, amount_nano bigint,
    balance_after_nano bigint, kind text, corrects_entry bigint, follows_entry bigint, message uuid, api_key_id uuid,
    namespace_id bigint, entrance text, message_id text, conversation_id text, request_id text, lines jsonb,
    cost_nano bigint, owed_nano bigint, basis_nano bigint, cap_nano bigint, reason text, actor text, hash bytea);
create type new_claim as (id uuid, message uuid, account_id uuid, entry bigint);
create type new_credit as (account_id uuid, entry bigint, amount_nano bigint, remaining_nano bigint,
    is_bought boolean, expires_at timestamptz);
create type credit_change as (account_id uuid, entry bigint, remaining_nano bigint);
create type hold_settlement as (account_id uuid, hold_id uuid, message uuid);
create type new_checkpoint as (account_id uuid, entry bigint, hash bytea, balance_nano bigint, credits jsonb,
    seal bytea);
create type new_delivery as (received_at timestamptz, api_key_id uuid, entrance text, outcome text, reason text,
    message_id text, user_id text, model_names text[], input_tokens bigint, output_tokens bigint, charge_nano bigint,
    balance_after_nano bigint, body bytea);
create type new_message_event as (message uuid, number integer, kind text, account_id uuid, entry bigint,
    api_key_id uuid, entrance text, occurred_at timestamptz, usage jsonb, counts_as integer, quarantine_id uuid,
    versions jsonb, other uuid, lines jsonb, cost_nano bigint, owed_nano bigint, basis_nano bigint, cap_nano bigint);

-- A group of messages is charged by one statement where nothing stands in its way: computed from what was known
-- before, it does nothing when that has changed since.

-- Joins the price lock, so that no price can be published until the end of the transaction, and reads after that
-- whether one was.
create function expect_price_revision(expected bigint) returns boolean language plpgsql volatile as $$
begin
    perform pg_advisory_xact_lock_shared(128021909209090);
    if (select coalesce(max(price_version_id), 0) from price_version) <> expected then
        raise exception 'prices were published meanwhile' using errcode = 'TG001';
    end if;
    return true;
end
$$;

create function expect_rows(are bigint, expected bigint) returns boolean language plpgsql immutable as $$
begin
    if are <> expected then
        raise exception '% of % rows are as they were read', are, expected using errcode = 'TG001';
    end if;
    return true;
end
$$;

-- Makes the monthly partitions of a table from this month on. Called at every start and once an hour; the default
-- partition catches what a long outage of that call would leave without a home. A month of which the default
-- partition has rows already cannot have a partition of its own any longer: its rows stay there, where everything
-- finds them.
create function ensure_partitions(parent text, months integer) returns void language plpgsql as $$
declare
    month timestamptz;
    child text;
begin
    for step in 0..months loop
        month := date_trunc('month', now() at time zone 'utc') at time zone 'utc' + step * interval '1 month';
        child := format('%s_%s', parent, to_char(month at time zone 'utc', 'YYYY_MM'));
        if to_regclass(child) is null then
            begin
                execute format('create table %I partition of %I for values from (%L) to (%L)', child, parent,
                    month, (month at time zone 'utc' + interval '1 month') at time zone 'utc');
                -- Of what is append-only: a partition does not inherit it.
                if exists (select from pg_trigger where tgrelid = parent::regclass and tgname = 'no_truncate') then
                    execute format('create trigger no_truncate before truncate on %I
                        for each statement execute function refuse_change()', child);
                end if;
            exception when check_violation then
                raise warning 'rows of % are in the default partition, where they stay', child;
            end;
        end if;
    end loop;
end
$$;

-- Takes a month off a log of which all rows are older than so many months, the oldest first: its rows are in the
-- table whose name is returned from then on. Null when there is none.
create function detach_month(log text, months integer) returns text language plpgsql as $$
declare
    kept_from date := date_trunc('month', now() at time zone 'utc' - make_interval(months => months));
    month date;
    child text;
    detached text;
begin
    select c.relname, to_date(substring(c.relname from '_([0-9]{4}_[0-9]{2})$'), 'YYYY_MM') into child, month
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = log::regclass
        and to_date(substring(c.relname from '_([0-9]{4}_[0-9]{2})$'), 'YYYY_MM') < kept_from
    order by c.relname limit 1;
    if child is not null then
        detached := child || '_detached';
        execute format('alter table %I detach partition %I', log, child);
        execute format('alter table %I rename to %I', child, detached);
        return detached;
    end if;
    -- What had no partition of its own.
    child := log || '_default';
    execute format('select date_trunc(''month'', min(recorded_at) at time zone ''utc'') from %I
        where recorded_at < $1', child) into month using kept_from::timestamp at time zone 'utc';
    if month is not null then
        detached := format('%s_%s_detached', log, to_char(month, 'YYYY_MM'));
        execute format('create table %I (like %I)', detached, log);
        execute format('with gone as (delete from %I where recorded_at >= $1 and recorded_at < $2 returning *)
            insert into %I select * from gone', child, detached)
            using month::timestamp at time zone 'utc', (month + interval '1 month') at time zone 'utc';
    end if;
    return detached;
end
$$;

-- Both legs of every transfer: what the books say to an auditor.
create view posting as
    select account_id::text as account, entry, account_id, amount_nano, recorded_at from journal_entry
    union all
    select counter_account(kind), entry, account_id, -amount_nano, recorded_at from journal_entry;
