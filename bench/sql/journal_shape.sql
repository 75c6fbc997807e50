-- Before a journal is filled: the months it lies in.

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
