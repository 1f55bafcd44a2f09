//! The program as it is started from a shell, command by command.

mod connect;
mod program;
mod serve;
mod tls;
