-- Tollgate's ledger. Amounts are nanopoints (10^-9 point), unit prices nanopoints per token, in
-- bigint; hashes are SHA-256. Landed migrations never change.

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: correct a mistake with a new row', tg_table_name
        using errcode = 'restrict_violation';
end
$$;

-- A namespace stands for one Dify installation: message ids are unique within it.
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

create table api_key (
    api_key_id uuid primary key,
    namespace_id bigint not null references namespace,
    name text not null,
    scope text not null check (scope in ('webhook', 'points', 'admin')),
    -- The first characters, to recognise a key by; the key itself is only here as a hash.
    prefix text not null,
    key_hash bytea not null unique check (octet_length(key_hash) = 32),
    -- Needed in clear to check signatures, hence sealed, not hashed.
    signing_secret_sealed bytea not null,
    require_signature boolean not null,
    created_at timestamptz not null default now(),
    created_by text not null,
    revoked_at timestamptz
);

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

-- One account for each end user. account_id is derived from user_id, so an account is found, and
-- placed on a shard, without a lookup.
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

-- Every entry is a transfer between the account and a system account. amount_nano is what the
-- account gained; the counter account lost as much, so all accounts always sum to zero.
create table journal_entry (
    account_id uuid not null,
    entry bigint not null check (entry > 0),
    recorded_at timestamptz not null,
    occurred_at timestamptz not null,
    kind text not null check (kind in ('charge', 'refund', 'rerate', 'grant', 'expiry', 'adjustment')),
    amount_nano bigint not null,
    counter_account text not null check (counter_account in ('revenue', 'issuance', 'expiry', 'adjustment')),
    balance_after_nano bigint not null,
    consumption_id uuid,
    -- The entry that this one puts right, or whose points it takes back.
    corrects_entry bigint check (corrects_entry > 0 and corrects_entry < entry),
    reason text,
    actor text,
    previous_hash bytea not null check (octet_length(previous_hash) = 32),
    hash bytea not null check (octet_length(hash) = 32),
    primary key (account_id, entry, recorded_at),
    check ((kind = 'charge') = (consumption_id is not null)),
    check (kind <> 'charge' or (amount_nano <= 0 and counter_account = 'revenue')),
    check (kind <> 'refund' or (amount_nano > 0 and counter_account = 'revenue')),
    check (kind <> 'rerate' or (amount_nano <> 0 and counter_account = 'revenue')),
    check (kind <> 'grant' or (amount_nano > 0 and counter_account = 'issuance')),
    check (kind <> 'expiry' or (amount_nano < 0 and counter_account = 'expiry')),
    check (kind <> 'adjustment' or (amount_nano <> 0 and counter_account = 'adjustment')),
    check ((kind in ('refund', 'rerate', 'expiry')) <= (corrects_entry is not null)),
    check (kind = 'charge' or (reason is not null and actor is not null))
) partition by range (recorded_at);
create trigger append_only before update or delete on journal_entry
    for each row execute function refuse_change();
create trigger no_truncate before truncate on journal_entry
    for each statement execute function refuse_change();

-- What a charged message used: one element of lines for each model call known apart.
create table consumption (
    account_id uuid not null,
    entry bigint not null,
    recorded_at timestamptz not null,
    consumption_id uuid not null,
    namespace_id bigint not null,
    message_id text not null,
    conversation_id text,
    request_id text,
    api_key_id uuid not null,
    entrance text not null,
    occurred_at timestamptz not null,
    total_tokens bigint not null check (total_tokens >= 0),
    charge_nano bigint not null check (charge_nano >= 0),
    lines jsonb not null check (jsonb_typeof(lines) = 'array' and jsonb_array_length(lines) > 0),
    primary key (account_id, entry, recorded_at)
) partition by range (recorded_at);
create trigger append_only before update or delete on consumption
    for each row execute function refuse_change();
create trigger no_truncate before truncate on consumption
    for each statement execute function refuse_change();

create table journal_entry_default partition of journal_entry default;
create table consumption_default partition of consumption default;

-- Makes the monthly partitions from this month on. Called at every start and once a day; the
-- default partitions catch what a long outage of that call would leave without a home.
create function ensure_partitions(months integer) returns void language plpgsql as $$
declare
    parent text;
    month timestamptz;
    child text;
begin
    foreach parent in array array['journal_entry', 'consumption'] loop
        for step in 0..months loop
            month := date_trunc('month', now() at time zone 'utc') at time zone 'utc'
                + step * interval '1 month';
            child := format('%s_%s', parent, to_char(month at time zone 'utc', 'YYYY_MM'));
            if to_regclass(child) is null then
                execute format('create table %I partition of %I for values from (%L) to (%L)',
                    child, parent, month, (month at time zone 'utc' + interval '1 month') at time zone 'utc');
                execute format('create trigger no_truncate before truncate on %I
                    for each statement execute function refuse_change()', child);
            end if;
        end loop;
    end loop;
end
$$;

-- Points by where they came from and until when they are good. What is left of all of an account's
-- credits is its balance, as long as that is not negative.
create table credit (
    account_id uuid not null,
    -- The entry that brought the points.
    entry bigint not null,
    amount_nano bigint not null check (amount_nano > 0),
    remaining_nano bigint not null check (remaining_nano between 0 and amount_nano),
    is_bought boolean not null,
    expires_at timestamptz,
    primary key (account_id, entry)
) with (fillfactor = 70);
create index credit_expiry on credit (expires_at) where remaining_nano > 0 and expires_at is not null;

-- Points promised to calls that are under way. held_nano of the account is the sum of the open ones.
create table hold (
    account_id uuid not null,
    hold_id uuid not null,
    amount_nano bigint not null check (amount_nano >= 0),
    model_name text not null,
    status text not null default 'open' check (status in ('open', 'settled', 'released', 'expired')),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    closed_at timestamptz,
    -- The message that settled it.
    namespace_id bigint,
    message_id text,
    primary key (account_id, hold_id),
    check ((status = 'open') = (closed_at is null)),
    check ((status = 'settled') = (message_id is not null))
);
create index hold_expiry on hold (expires_at) where status = 'open';

-- Sums of the journal by hour of recording, kept in the transaction of the entries. A charge is
-- split by the models of its lines; other kinds have no model and no source.
create table rollup (
    account_id uuid not null,
    hour timestamptz not null,
    kind text not null,
    model_key text not null,
    api_key_id uuid not null,
    entries bigint not null,
    input_tokens numeric not null,
    output_tokens numeric not null,
    amount_nano numeric not null,
    primary key (account_id, hour, kind, model_key, api_key_id)
) with (fillfactor = 70);
create index rollup_hour on rollup (hour);

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

-- A charged message's identity: the one place that makes sure it is charged once. It belongs to no
-- account, because the same message under two users must collide too.
create table message (
    namespace_id bigint not null,
    message_id text not null,
    -- Of the user and the numbers: a redelivery with another one is a conflict.
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    consumption_id uuid not null,
    total_tokens bigint not null,
    charge_nano bigint not null,
    balance_after_nano bigint not null,
    recorded_at timestamptz not null,
    primary key (namespace_id, message_id)
);
create trigger append_only before update or delete on message
    for each row execute function refuse_change();
create trigger no_truncate before truncate on message
    for each statement execute function refuse_change();

-- Messages that were delivered and could not be charged yet.
create table quarantine (
    quarantine_id uuid primary key,
    namespace_id bigint not null,
    message_id text not null,
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    api_key_id uuid not null references api_key,
    entrance text not null,
    received_at timestamptz not null,
    reason text not null check (reason in ('unknown_model', 'inactive_price', 'contradictory_tokens',
        'zero_usage', 'too_many_tokens', 'overflow', 'unreadable')),
    model_keys text[] not null,
    -- Null when the body could not be read.
    usage jsonb,
    body bytea not null,
    status text not null default 'waiting' check (status in ('waiting', 'charged', 'dismissed')),
    resolved_at timestamptz,
    resolved_by text,
    resolution text,
    check ((status = 'waiting') = (resolved_at is null)),
    check ((usage is null) = (reason = 'unreadable'))
);
create unique index quarantine_waiting on quarantine (namespace_id, message_id) where status = 'waiting';
create index quarantine_waiting_age on quarantine (received_at, quarantine_id) where status = 'waiting';

-- Every authenticated delivery, in the order of commit as far as a reader needs it: (tx, id) grows,
-- and rows of transactions older than the oldest running one never get company. The live monitor
-- reads it like that, which is what makes it free of gaps.
create table delivery (
    tx xid8 not null default pg_current_xact_id(),
    id bigint not null generated always as identity,
    received_at timestamptz not null,
    api_key_id uuid not null,
    entrance text not null,
    outcome text not null check (outcome in ('charged', 'duplicate', 'quarantined', 'conflict', 'rejected')),
    reason text,
    message_id text,
    user_id text,
    model_name text,
    input_tokens bigint not null default 0,
    output_tokens bigint not null default 0,
    charge_nano bigint,
    balance_after_nano bigint,
    consumption_id uuid,
    -- Kept where the body is needed to understand what went wrong.
    body bytea,
    primary key (tx, id)
);

-- Both legs of every transfer: what the books say to an auditor.
create view posting as
    select account_id::text as account, entry, account_id, amount_nano, recorded_at from journal_entry
    union all
    select counter_account, entry, account_id, -amount_nano, recorded_at from journal_entry;
