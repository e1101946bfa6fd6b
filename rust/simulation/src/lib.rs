//! A Client and a Gateway in virtual time, with reference models.
