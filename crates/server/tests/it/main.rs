//! A real server on free ports, spoken to over sockets.

mod receivers;
