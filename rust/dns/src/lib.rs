//! Names: resource patterns, proxy addresses and the stub's answers.
