//! Tables for the parsers, layer rules and version orders; real tools, real files and the public vectors where they are
//! present; mutations of every binary format.

mod executables;
mod hostile;
mod jars;
mod layers;
mod orders;
mod parsers;
mod real;
mod rpm;
mod states;
mod support;
mod vectors;
