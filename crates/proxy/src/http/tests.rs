//! The engine over real loopback sockets.
