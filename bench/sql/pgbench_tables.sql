-- What the obvious design needs: a balance, a journal, and each message once.
create table balance (
    account_id integer primary key,
    points bigint not null
);
insert into balance select account_id, 1000000000 from generate_series(1, 10000) as account_id;

create table journal (
    entry_id bigint primary key generated always as identity,
    account_id integer not null,
    message_id bigint not null,
    points bigint not null,
    recorded_at timestamptz not null default now()
);

-- A sequence stands for the sender's ids: nothing gives unique ones for less.
create sequence next_message;
create table message (
    message_id bigint primary key
);

vacuum analyze balance;
