//! Who used what over a range: the largest processes, names or cgroups ([`ranking`]), and some of them over time
//! ([`over_time`]). From the accounts in `usage`, whose rows add up to what the machine used.

pub mod accounts;
pub mod amounts;
pub mod over_time;
pub mod ranking;

#[cfg(test)]
mod tests;
