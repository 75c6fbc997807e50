-- Requests that their sender gave a key, so that a repetition gets the first answer instead of being
-- done again. Belongs to no account, because the same key for two users must collide.
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

-- Finds what corrects an entry without reading the account's whole journal. Charges correct nothing,
-- so they are not in it.
create index journal_correction on journal_entry (account_id, corrects_entry)
    where corrects_entry is not null;
