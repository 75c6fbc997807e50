-- Before a journal is filled: the months it lies in, and whose entries it has.

-- As ensure_partitions makes them, for the months behind instead of ahead.
do $$
declare
    month timestamptz;
    child text;
begin
    for step in 1..12 loop
        month := date_trunc('month', now() at time zone 'utc') at time zone 'utc' - step * interval '1 month';
        child := format('journal_entry_%s', to_char(month at time zone 'utc', 'YYYY_MM'));
        execute format('create table %I partition of journal_entry for values from (%L) to (%L)', child,
            month, (month at time zone 'utc' + interval '1 month') at time zone 'utc');
    end loop;
end
$$;

-- reader-0 has a tenth of all entries; the other 9,000 share the rest.
create table filling_account as
select number, 'reader-' || number as user_id,
    encode(substr(sha256('tollgate account\000'::bytea || convert_to('reader-' || number, 'utf8')), 1, 16),
        'hex')::uuid as account_id
from generate_series(0, 9000) as number;
create unique index on filling_account (number) include (account_id);
analyze filling_account;

-- Every twentieth entry brings 2,000 points, each of the others takes 93 from the oldest.
with account_end as (
    select account_id, user_id, entries, (entries + 19) / 20 as grants
    from filling_account,
        lateral (select case number when 0 then :total / 10 else :total / 10000 end::bigint as entries) e
), opened as (
    insert into account (account_id, user_id, balance_nano, entry_count, last_hash, created_at)
    select account_id, user_id, grants * 2000000000000 - (entries - grants) * 93000000000, entries,
        sha256(uuid_send(account_id)), now() - interval '366 days'
    from account_end
)
insert into credit (account_id, entry, amount_nano, remaining_nano, is_bought)
select account_id, number * 20 - 19, 2000000000000,
    greatest(0, least(2000000000000, number * 2000000000000 - (entries - grants) * 93000000000)), false
from account_end, generate_series(1, grants) as number;

-- Entry numbers go up for each account as the time of recording does. Each account's first 100
-- entries are of a model that nobody uses any more. What is no grant is the first charge of message n.
create function filling(first bigint, last bigint, total bigint, seconds_each float8, ends_at float8)
returns table (n bigint, account_id uuid, entry bigint, recorded_at timestamptz, is_grant boolean,
    message uuid, model integer)
language sql stable as $$
    select s.n, a.account_id, s.entry, to_timestamp(ends_at - (total - s.n) * seconds_each),
        s.entry % 20 = 1,
        case when s.entry % 20 <> 1 then encode(substr(sha256('tollgate message\000'::bytea || int8send(1)
            || convert_to('message-' || s.n, 'utf8')), 1, 16), 'hex')::uuid end,
        case when s.entry <= 100 then 1 else 2 + s.entry % 2 end::integer
    from (
        select n,
            case when n % 10 = 0 then 0 else ((n - 1) / 10 * 9 + (n - 1) % 10) % 9000 + 1 end as number,
            case when n % 10 = 0 then n / 10 else ((n - 1) / 10 * 9 + (n - 1) % 10) / 9000 + 1 end as entry
        from generate_series(first, last) as n
    ) s
    join filling_account a using (number)
$$;
