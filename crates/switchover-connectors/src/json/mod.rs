//! JSON: dumps of an application that kept its data in memory, or wrote it to files.

pub mod backup;
pub mod catalog;
pub mod config;
mod count;
mod destination;
mod dialect;
mod examine;
mod form;
mod frames;
mod input;
mod kind;
mod place;
mod publish;
mod read;
mod readback;
mod render;
mod row;
mod rules;
mod scan;
mod sorted;
pub mod source;
mod survey;
pub mod target;
mod walk;
mod work;
mod write;
