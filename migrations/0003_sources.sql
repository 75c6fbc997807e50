-- Sources: keys that open one entrance each, and how what comes in through it is treated.
alter table api_key drop constraint api_key_scope_check;
alter table api_key add constraint api_key_scope_check
    check (scope in ('webhook', 'points', 'admin', 'gateway', 'langfuse', 'guard', 'openai'));
alter table api_key add column settings jsonb not null default '{}';
-- What the server behind the source is called with; needed in clear, hence sealed, not hashed.
alter table api_key add column upstream_key_sealed bytea;
-- A name finds the app for whoever calls the gateway with a user token.
create unique index api_key_gateway on api_key (name) where scope = 'gateway' and revoked_at is null;
create index delivery_source on delivery (api_key_id, tx desc, id desc);

-- A message may be charged in parts: what a run used after a pause, or what a better report brings.
alter table message add column part integer not null default 0 check (part >= 0);
-- Another id of a message (a workflow run's, a node execution's): whoever knows the message by it
-- must not charge it again.
alter table message add column alias_of text;
-- Where it was charged, by whose report, and how good that was.
alter table message add column account_id uuid;
alter table message add column entry bigint;
alter table message add column entrance text not null default 'webhook';
alter table message add column evidence text not null default 'reported'
    check (evidence in ('estimated', 'assumed_model', 'reported'));
alter table message add column is_itemized boolean not null default false;
-- It takes the place of all earlier parts, which are refunded.
alter table message add column is_replacement boolean not null default false;
-- What was charged before says so too: nothing that it already said changes.
alter table message disable trigger append_only;
update message m set account_id = c.account_id, entry = c.entry, entrance = c.entrance
from consumption c where c.consumption_id = m.consumption_id;
alter table message enable trigger append_only;
alter table message drop constraint message_pkey;
alter table message add primary key (namespace_id, message_id, part);
alter table message add check (alias_of is null or part = 0);

alter table consumption add column part integer not null default 0 check (part >= 0);
alter table consumption drop constraint consumption_lines_check;
-- No line: no model ran.
alter table consumption add check (jsonb_typeof(lines) = 'array');

-- Reports of a message beside the one that charged it, through whatever entrance.
create table sighting (
    namespace_id bigint not null,
    message_id text not null,
    sighting_id bigint not null generated always as identity,
    seen_at timestamptz not null,
    api_key_id uuid not null references api_key,
    entrance text not null,
    evidence text not null,
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    user_id text not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    -- How it differs from what was charged, for an administrator; null when it does not.
    difference text check (difference in ('tokens', 'user')),
    -- What was charged by it, if it brought something new.
    consumption_id uuid,
    primary key (namespace_id, message_id, sighting_id)
);
create index sighting_difference on sighting (sighting_id) where difference is not null;
create trigger append_only before update or delete on sighting
    for each row execute function refuse_change();
create trigger no_truncate before truncate on sighting
    for each statement execute function refuse_change();

-- Cumulative numbers are charged for their difference also when they have waited.
alter table quarantine add column continues boolean not null default false;

-- Calls of an app whose model is not known beforehand.
alter table hold alter column model_name drop not null;

-- Finds what was entered long after it happened without reading everything entered since.
create index journal_late on journal_entry (account_id, entry)
    where recorded_at - occurred_at > interval '1 hour';
