//! The rules of attendance, by behaviour.

mod fixture;

mod daylight_saving;
mod decision_matrix;
mod laws;
mod marking;
mod plan_problems;
mod timetable;
