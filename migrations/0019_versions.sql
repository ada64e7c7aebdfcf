-- Whoever changes a holiday or an exception says which one they read, as with everything else.
alter table holidays add column version bigint not null default 1;
alter table timetable_exceptions add column version bigint not null default 1;
