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

alter table quarantine drop constraint quarantine_reason_check;
alter table quarantine add constraint quarantine_reason_check
    check (reason in ('unknown_model', 'inactive_price', 'contradictory_tokens', 'zero_usage',
        'too_many_tokens', 'overflow', 'unreadable', 'incomplete_trace'));
-- Null when the body could not be read, or does not tell who used what.
alter table quarantine drop constraint quarantine_check1;
alter table quarantine add constraint quarantine_usage_check
    check ((usage is null) = (reason in ('unreadable', 'incomplete_trace')));

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

-- Messages that nobody had reported when they were looked for. Those that arrive later stay here and
-- are missing no longer.
create table missing_message (
    namespace_id bigint not null references namespace,
    message_id text not null,
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
