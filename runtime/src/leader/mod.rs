//! Elects the one replica that works, by a Lease.
//!
//! A leader renews its claim every two seconds. When that fails, it stops writing two seconds before other
//! replicas may take over, and goes on if it gets through again before they do. A replica that ends in order
//! releases the lease, so that the next one need not wait.
//!
//! The protocol is that of client-go
//! (<https://pkg.go.dev/k8s.io/client-go/tools/leaderelection>), except that each write is checked
//! instead of the process ended when the claim has expired: an outage of the API server must not
//! restart our pods.

mod claim;
mod lease;

pub use lease::{Candidate, Election, LeaderState};
