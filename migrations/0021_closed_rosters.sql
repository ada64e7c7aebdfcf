-- Who was expected in a session when it closed stays so, whoever comes to its course or leaves it later.

-- The rosters of closed sessions, where these came from a course. A list of its own changes no more when a session is closed.
create table closed_rosters (
    session_id uuid not null references sessions on delete cascade,
    person_id  uuid not null references people on delete cascade,
    primary key (session_id, person_id)
);

-- A one-off session that has a list of its own, and expects nobody else: nobody at all once those on it are erased.
alter table sessions add column listed boolean not null default false;

update sessions s set listed = true
    where origin = 'one_off' and exists (select from session_people p where p.session_id = s.id);

-- What was closed by now is as it was seen until now.
insert into closed_rosters (session_id, person_id)
select e.session_id, e.person_id from expected_people e join sessions s on s.id = e.session_id
where s.state = 'closed' and s.course_id is not null and not s.listed;

-- For whoever is erased.
create index closed_rosters_person on closed_rosters (person_id);

create or replace view expected_people as
    select s.id as session_id, e.person_id
    from sessions s join enrolments e on e.course_id = s.course_id
    where s.state <> 'closed' and not s.listed
      and coalesce(e.valid_from, s.local_date) <= s.local_date and coalesce(e.valid_to, s.local_date) >= s.local_date
    union all
    select session_id, person_id from session_people
    union all
    select session_id, person_id from closed_rosters;
