//! The sans-I/O whole: Client and Gateway.
