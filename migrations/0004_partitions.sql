-- Partitions: made ahead of time, at start and once a day, and dropped when they are too old.

-- Makes the monthly partition of `parent` that holds `month`; nothing if there is one. Rows that went to the default
-- partition in the meantime are moved, because PostgreSQL refuses a partition whose rows lie in the default.
create function make_partition(parent text, time_column text, month date) returns boolean language plpgsql as $$
declare
    first_day date := date_trunc('month', month)::date;
    next_day  date := (date_trunc('month', month) + interval '1 month')::date;
    part      text := format('%s_%s', parent, to_char(first_day, 'YYYY_MM'));
    -- With zone, so that a session whose time zone is not UTC cuts the months at the same place. A date ignores the rest.
    lower_bound text := to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00';
    upper_bound text := to_char(next_day, 'YYYY-MM-DD') || ' 00:00:00+00';
begin
    -- Two daemons that start at once: the second waits here, then finds the table.
    perform pg_advisory_xact_lock(hashtextextended('rollcall.partitions', 0));
    if to_regclass(quote_ident(part)) is not null then
        return false;
    end if;
    execute format('create table %I (like %I including all)', part, parent);
    execute format(
        'with moved as (delete from %I where %I >= %L and %I < %L returning *) insert into %I select * from moved',
        parent || '_default', time_column, lower_bound, time_column, upper_bound, part);
    execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, part, lower_bound, upper_bound);
    return true;
end
$$;

-- Makes the partitions from the month before `today` (the spool may be that old) to `months_ahead` after. Returns how many.
create function make_partitions(today date, months_ahead integer) returns integer language plpgsql as $$
declare
    made  integer := 0;
    month date;
begin
    for month in
        select generate_series(date_trunc('month', today) - interval '1 month',
                               date_trunc('month', today) + make_interval(months => months_ahead), interval '1 month')::date
    loop
        made := made + make_partition('marks', 'session_date', month)::integer;
        made := made + make_partition('events', 'captured_at', month)::integer;
    end loop;
    return made;
end
$$;

-- Drops the partitions of `parent` in which everything is older than `before`, and such rows of the default partition.
-- Returns how many partitions went.
create function drop_partitions(parent text, time_column text, before date) returns integer language plpgsql as $$
declare
    dropped integer := 0;
    part    text;
begin
    perform pg_advisory_xact_lock(hashtextextended('rollcall.partitions', 0));
    for part in
        select c.relname
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = to_regclass(quote_ident(parent))
          and c.relname ~ ('^' || parent || '_\d{4}_\d{2}$')
          and to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= before
    loop
        execute format('drop table %I', part);
        dropped := dropped + 1;
    end loop;
    execute format('delete from %I where %I < %L', parent || '_default', time_column, to_char(before, 'YYYY-MM-DD') || ' 00:00:00+00');
    return dropped;
end
$$;
