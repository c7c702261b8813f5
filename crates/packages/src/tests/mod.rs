//! Tables for the parsers, layer rules and version orders; the public vectors and real tools where they are present.

mod vectors;
