-- A month of which the default partition has rows already (a clock was wrong, or the months were not made in
-- time) cannot have a partition of its own any longer: its rows stay there, where everything finds them, and
-- nothing else fails for it.
create or replace function ensure_partitions(months integer) returns void language plpgsql as $$
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
                begin
                    execute format('create table %I partition of %I for values from (%L) to (%L)', child, parent,
                        month, (month at time zone 'utc' + interval '1 month') at time zone 'utc');
                    execute format('create trigger no_truncate before truncate on %I
                        for each statement execute function refuse_change()', child);
                exception when check_violation then
                    raise warning 'rows of % are in the default partition, where they stay', child;
                end;
            end if;
        end loop;
    end loop;
end
$$;
