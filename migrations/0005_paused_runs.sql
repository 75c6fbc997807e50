-- Runs that Dify has paused for a person's input. What they use when they go on is looked for until
-- they have ended; then their row goes.
create table paused_run (
    api_key_id uuid not null references api_key,
    run_id text not null,
    -- What the run was charged as: of a chatflow its message.
    message_id text not null,
    -- Whose run it is, who need not be the one who fills in the form.
    user_id text not null,
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
