//! The rules of attendance, by behaviour.

mod documents;
mod door;
mod fixture;

mod calendar;
mod closing;
mod dated;
mod daylight_saving;
mod decision_matrix;
mod figures;
mod laws;
mod marking;
mod plan_problems;
mod presence;
mod rules_page;
mod timetable;
