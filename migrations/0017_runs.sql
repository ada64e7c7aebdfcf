-- How each person's sessions of a month went, at a site and in order, kept as the register changes: the standings of
-- everybody at a site are made of these, of which there are some thirty times fewer than rows.

-- One session of a run: the day of the month from A, the status's first letter, and the arrival's bucket from a.
create function run_entry(the_date date, status text, minutes real) returns text language sql immutable parallel safe as $$
    select chr(64 + extract(day from the_date)::integer) || left(status, 1)
        || case when status in ('present', 'late') and minutes is not null then chr(97 + arrival_bucket(minutes)) else '-' end
$$;

create table person_runs (
    person_id uuid not null references people on delete cascade,
    site_id   text not null,
    -- Its first day; of the sessions' local dates.
    month     date not null,
    -- What is in no figure (off roster, off schedule, void) is not there.
    run       text not null,
    primary key (person_id, site_id, month)
) with (fillfactor = 70);

-- Writes a run anew. Whoever changes the register holds the feed's lock, so that nobody else's change is missed.
create function write_run(the_person uuid, the_site text, the_month date) returns void language plpgsql as $$
declare
    the_run text;
begin
    select string_agg(run_entry(local_date, status, minutes_from_start), '' order by starts_at, session_id) into the_run
        from register
        where person_id = the_person and site_id = the_site and status in ('present', 'late', 'absent', 'excused')
          and local_date >= the_month and local_date < the_month + interval '1 month'
          -- The same in UTC, a day wider than zones are apart: that is what the index has.
          and starts_at >= the_month::timestamp at time zone 'UTC' - interval '1 day'
          and starts_at < the_month::timestamp at time zone 'UTC' + interval '1 month 1 day';
    if the_run is null then
        delete from person_runs where person_id = the_person and site_id = the_site and month = the_month;
        return;
    end if;
    insert into person_runs as r (person_id, site_id, month, run) values (the_person, the_site, the_month, the_run)
    on conflict (person_id, site_id, month) do update set run = excluded.run where r.run <> excluded.run;
end
$$;

create function register_run() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        perform write_run(person_id, site_id, month) from (
            select distinct person_id, site_id, date_trunc('month', local_date)::date as month from fresh
            order by 1, 2, 3) touched;
    elsif tg_op = 'DELETE' then
        perform write_run(person_id, site_id, month) from (
            select distinct person_id, site_id, date_trunc('month', local_date)::date as month from stale
            order by 1, 2, 3) touched;
    else
        perform write_run(person_id, site_id, month) from (
            select distinct t.person_id, t.site_id, date_trunc('month', t.local_date)::date as month
            from stale o join fresh n using (session_id, person_id),
                 lateral (values (o.person_id, o.site_id, o.local_date), (n.person_id, n.site_id, n.local_date))
                     t (person_id, site_id, local_date)
            where (o.status, o.minutes_from_start, o.site_id, o.local_date, o.starts_at)
                  is distinct from (n.status, n.minutes_from_start, n.site_id, n.local_date, n.starts_at)
            order by 1, 2, 3) touched;
    end if;
    return null;
end
$$;

-- By name after those of the feed, as those of the tallies.
create trigger tallied_run_new after insert on register referencing new table as fresh
    for each statement execute function register_run();
create trigger tallied_run_changed after update on register referencing old table as stale new table as fresh
    for each statement execute function register_run();
create trigger tallied_run_gone after delete on register referencing old table as stale
    for each statement execute function register_run();

-- What was registered before there were runs.
insert into person_runs (person_id, site_id, month, run)
select person_id, site_id, date_trunc('month', local_date)::date,
       string_agg(run_entry(local_date, status, minutes_from_start), '' order by starts_at, session_id)
from register where status in ('present', 'late', 'absent', 'excused') group by 1, 2, 3;

-- The day of a room.
create index sessions_room_date on sessions (room_id, local_date);
-- The whole record of a person, without a look at its rows.
drop index register_person;
create index register_person on register (person_id, starts_at desc, session_id) include (status);
