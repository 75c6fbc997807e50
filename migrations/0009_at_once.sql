-- A group of messages is charged by one statement where nothing stands in its way: computed from what was
-- read without locks, it does nothing when that has changed since.

-- Joins the price lock, so that no price can be published until the end of the transaction, and reads
-- after that whether one was.
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

-- Whether one of these messages waits in quarantine, as it is now that the accounts are locked: a message that
-- another process keeps leaves no entry by which that could be seen.
create function expect_none_waiting(namespace_ids bigint[], message_ids text[]) returns boolean
language plpgsql volatile as $$
begin
    perform from unnest(namespace_ids, message_ids) as m (namespace_id, message_id)
    join quarantine q on q.namespace_id = m.namespace_id and q.message_id = m.message_id
        and q.status = 'waiting';
    if found then
        raise exception 'a message has come into quarantine' using errcode = 'TG001';
    end if;
    return true;
end
$$;
