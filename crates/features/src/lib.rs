//! Nothing but a list of dependencies with features: the union of what the
//! crates of this workspace ask for, so that building or testing one crate
//! reuses what was built for another. Without it, `cargo test -p X` compiles
//! DataFusion once more for every X.
