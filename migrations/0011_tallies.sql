-- How each session stands, counted as the register changes: the figures of a site are made of its sessions, of which there
-- are some fifty times fewer than rows.

-- The bucket of an arrival, from 0. The edges are those of attendance::analytics::Arrivals; a test compares them.
create function arrival_bucket(minutes real) returns integer language sql immutable strict parallel safe as $$
    select case when minutes <> 'NaN'
                then width_bucket(minutes, '{-30,-15,-10,-5,0,5,10,15,30,60}'::real[]) end
$$;

create table session_tallies (
    session_id uuid primary key references sessions on delete cascade,
    present    integer   not null default 0,
    late       integer   not null default 0,
    absent     integer   not null default 0,
    excused    integer   not null default 0,
    -- Who came, by arrival_bucket.
    arrivals   integer[] not null default '{0,0,0,0,0,0,0,0,0,0,0}' check (cardinality(arrivals) = 11)
) with (fillfactor = 50);

-- Counts one row of the register, or takes it back. What is in no figure (off roster, off schedule, void) is not counted.
create function tally(the_session uuid, status text, minutes real, n integer) returns void language plpgsql as $$
declare
    bucket integer := case when status in ('present', 'late') then arrival_bucket(minutes) + 1 end;
begin
    if status not in ('present', 'late', 'absent', 'excused') then return; end if;
    -- Relative to what is there: two transactions that count at once both count.
    insert into session_tallies as t (session_id, present, late, absent, excused, arrivals)
    values (the_session, n * (status = 'present')::integer, n * (status = 'late')::integer,
            n * (status = 'absent')::integer, n * (status = 'excused')::integer,
            array(select case when i = bucket then n else 0 end from generate_series(1, 11) i))
    on conflict (session_id) do update set
        present = t.present + excluded.present, late = t.late + excluded.late,
        absent = t.absent + excluded.absent, excused = t.excused + excluded.excused,
        arrivals = case when bucket is null then t.arrivals
                        else t.arrivals[:bucket - 1] || (t.arrivals[bucket] + n) || t.arrivals[bucket + 1:] end;
end
$$;

create function register_tallied() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        perform tally(session_id, status, minutes_from_start, 1) from fresh;
    elsif tg_op = 'DELETE' then
        perform tally(session_id, status, minutes_from_start, -1) from stale;
    else
        perform tally(o.session_id, o.status, o.minutes_from_start, -1),
                tally(n.session_id, n.status, n.minutes_from_start, 1)
        from stale o join fresh n using (session_id, person_id)
        where (o.status, o.minutes_from_start) is distinct from (n.status, n.minutes_from_start);
    end if;
    return null;
end
$$;

-- Triggers fire by name, and these have to come after those of the feed: whoever holds its lock counts alone, where two who
-- count the same sessions in another order would wait for each other for ever.
create trigger tallied_new after insert on register referencing new table as fresh
    for each statement execute function register_tallied();
create trigger tallied_changed after update on register referencing old table as stale new table as fresh
    for each statement execute function register_tallied();
create trigger tallied_gone after delete on register referencing old table as stale
    for each statement execute function register_tallied();

-- What was registered before there were tallies.
do $$
begin
    perform tally(session_id, status, minutes_from_start, 1) from register;
end
$$;
