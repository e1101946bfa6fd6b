//! Peers and their sessions: datagrams in and out through the Session seam.
