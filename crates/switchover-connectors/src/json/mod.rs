//! JSON: dumps of an application that kept its data in memory, or wrote it to files.

pub mod backup;
pub mod catalog;
pub mod config;
mod count;
mod examine;
mod input;
mod kind;
mod place;
mod read;
mod row;
mod rules;
mod scan;
mod sorted;
pub mod source;
mod survey;
mod walk;
