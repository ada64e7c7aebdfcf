-- What is found by a name that somebody chose, by a day or by what else it belongs to may be removed and made anew there. It has
-- other versions in each of its lives, a million of them, so that nobody changes the new one who has read the old one alone.

create sequence lives start 1000000 increment 1000000;

alter table sites alter column version set default nextval('lives');
alter table rooms alter column version set default nextval('lives');
alter table cameras alter column version set default nextval('lives');
alter table holidays alter column version set default nextval('lives');
alter table timetable_exceptions alter column version set default nextval('lives');
-- Their ids are derived, those of timetables too.
alter table sessions alter column version set default nextval('lives');
alter table register alter column version set default nextval('lives');
