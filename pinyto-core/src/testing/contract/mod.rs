//! The contract of a store, as tests: each case is an async function over a fresh store, and its
//! name is the sentence it shows. The documentation of the repository traits is what they follow.

mod assembly;
mod document;
mod document_change;
mod document_query;
mod installation;
mod job;
mod job_failure;
mod job_hold;
mod job_lease;
mod key;
mod key_change;
mod keyserver;
mod login_token;
mod openpgp_key;
mod password_login;
mod run;
mod session;
mod session_reads;
mod throttle;
mod two_handles;
mod user;

use std::{future::Future, sync::Arc};

use tokio::sync::Barrier;

/// Makes a test of each case of the contract of a [`Store`](crate::store::Store).
///
/// `store_contract!(fresh)` expands to one `#[tokio::test]` per case, in one module per subject.
/// `fresh` is the path of an `async fn() -> (Arc<dyn Store>, G)` that gives an empty store and a
/// guard that is dropped after the store: a temporary directory, or `()`. The crate that uses it
/// needs `pinyto-core` with the feature `testing`, and `tokio` with `macros` and
/// `rt-multi-thread`, both as dev-dependencies:
///
/// ```toml
/// [dev-dependencies]
/// pinyto-core = { version = "0.1", features = ["testing"] }
/// tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
/// ```
///
/// The cases use nothing but the store: neither the network, nor real keys, nor a clock. Tests of
/// one store run in parallel, so give each its own database.
///
/// # Examples
///
/// A whole file `tests/contract.rs`:
///
/// ```
/// use std::sync::Arc;
///
/// use pinyto_core::{memory::MemoryStore, store::Store, store_contract};
///
/// async fn fresh() -> (Arc<dyn Store>, ()) {
///     (Arc::new(MemoryStore::new()), ())
/// }
///
/// store_contract!(fresh);
/// # fn main() {}
/// ```
///
/// Then `cargo test` shows `user::of_registrations_racing_for_one_name_exactly_one_wins` and its
/// like, and `cargo test keyserver` runs one subject.
///
/// # Two handles
///
/// If the data of a store can be opened a second time, as by another server,
/// `store_contract!(fresh, again)` also checks that what is promised holds across both handles
/// (module `two_handles`). `again` is the path of an `async fn(&G) -> Arc<dyn Store>`; without it
/// these cases are shown as ignored.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use pinyto_core::{store::Store, store_contract};
/// # use pinyto_core::memory::MemoryStore;
/// # struct MyStore;
/// # impl MyStore { async fn open(_: &str) -> MemoryStore { MemoryStore::new() } }
///
/// async fn fresh() -> (Arc<dyn Store>, String) {
///     let url = "a database of its own".to_owned();
///     (Arc::new(MyStore::open(&url).await), url)
/// }
///
/// async fn again(url: &String) -> Arc<dyn Store> {
///     Arc::new(MyStore::open(url).await)
/// }
///
/// store_contract!(fresh, again);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! store_contract {
    ($fresh:path) => {
        $crate::__store_contract! { cases for tests ($fresh) }
        $crate::__two_handles_contract! { cases for ignored () }
    };
    ($fresh:path, $again:path) => {
        $crate::__store_contract! { cases for tests ($fresh) }
        $crate::__two_handles_contract! { cases for tests ($fresh, $again) }
    };
}

/// The same list of the cases that need two handles.
#[doc(hidden)]
#[macro_export]
macro_rules! __two_handles_contract {
    (tests ($fresh:path, $again:path) $($case:ident)*) => {
        mod two_handles {
            #[allow(unused_imports, reason = "where the paths to the store may begin")]
            use super::*;

            $(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let (store, guard) = $fresh().await;
                    let other = $again(&guard).await;
                    $crate::testing::cases::two_handles::$case(store, other).await;
                }
            )*
        }
    };
    (ignored () $($case:ident)*) => {
        mod two_handles {
            $(
                #[test]
                #[ignore = "there is no second handle"]
                fn $case() {}
            )*
        }
    };
    (public () $($case:ident)*) => {
        pub mod two_handles { pub use super::super::two_handles::{ $($case),* }; }
    };
    (cases for $purpose:ident $argument:tt) => {
        $crate::__two_handles_contract! { $purpose $argument
            what_one_handle_has_written_the_other_reads_at_once
            of_registrations_on_two_handles_for_one_name_exactly_one_wins
            of_sessions_opened_on_two_handles_with_one_key_one_lives
            of_claims_on_two_handles_each_entry_goes_to_one
            assemblies_installed_on_two_handles_stop_at_the_limit
            documents_stored_on_two_handles_stop_at_the_bytes_allowed
        }
    };
}

/// The list of cases, which stands here once: for the tests, and to make the cases public (one
/// that is missing here is dead code, which the compiler complains about).
#[doc(hidden)]
#[macro_export]
macro_rules! __store_contract {
    (tests ($fresh:path) $($subject:ident { $($case:ident)* })*) => {
        $(
            mod $subject {
                #[allow(unused_imports, reason = "where the path to the store may begin")]
                use super::*;

                $(
                    #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $case() {
                        let (store, _guard) = $fresh().await;
                        $crate::testing::cases::$subject::$case(store).await;
                    }
                )*
            }
        )*
    };
    (public () $($subject:ident { $($case:ident)* })*) => {
        $( pub mod $subject { pub use super::super::$subject::{ $($case),* }; } )*
    };
    (cases for $purpose:ident $argument:tt) => {
        $crate::__store_contract! { $purpose $argument
            user {
                a_registered_user_is_found_by_exactly_her_name
                names_that_differ_in_case_only_belong_to_different_users
                a_registration_brings_the_first_key_active
                a_registration_may_bring_further_keys
                a_taken_name_changes_nothing_for_its_owner
                different_users_may_have_the_same_key
                of_registrations_racing_for_one_name_exactly_one_wins
                of_a_device_and_a_password_racing_for_one_name_exactly_one_wins
                an_author_without_key_is_made_once_and_has_none
                ensuring_an_author_who_exists_leaves_her_as_she_is
                an_author_ensured_by_many_at_once_is_one
                usage_begins_at_zero_when_the_user_comes_into_being
                cpu_time_adds_up_for_its_user_alone
                cpu_time_booked_by_many_at_once_is_exact
                a_store_that_works_answers_a_ping
            }
            key {
                keys_are_listed_in_the_order_they_were_added
                a_key_comes_back_exactly_as_it_was_added
                a_key_is_added_once_per_user
                keys_of_one_full_fingerprint_are_one_key
                no_more_keys_are_added_than_the_limit
                keys_added_by_many_at_once_stop_at_the_limit
                one_key_added_by_many_at_once_is_there_once
                a_hash_of_any_length_selects_a_key_of_the_named_user
                a_hash_selects_inactive_keys_too
                a_hash_that_fits_no_key_of_the_named_user_selects_none
                a_hash_that_fits_two_keys_of_a_user_selects_both
            }
            key_change {
                an_ambiguous_hash_changes_no_key
                nobody_changes_a_key_of_another_user
                an_ended_session_changes_no_key
                deactivating_and_activating_tell_the_key_as_it_was
                a_deleted_key_is_gone_and_can_come_back_as_another
                the_last_active_key_stays
                a_refused_change_leaves_the_session_alone
                of_many_keys_deactivated_at_once_one_stays_active
                of_many_keys_deactivated_and_deleted_at_once_one_stays_active
                colliding_keys_of_different_users_are_not_confused
            }
            openpgp_key {
                an_openpgp_key_comes_back_with_all_its_parts
                an_openpgp_key_is_found_by_its_fingerprint_while_it_is_active
                an_openpgp_key_opens_nothing_before_it_is_proven
                only_the_user_herself_proves_her_keys
                of_several_users_an_openpgp_key_is_hers_where_it_was_proven_last
                an_openpgp_key_is_added_once_per_user_and_renewed_in_its_place
                a_hash_selects_among_keys_of_all_kinds
                deactivating_and_deleting_an_openpgp_key_ends_its_session
                a_key_that_has_expired_is_no_other_active_key
                a_key_that_has_expired_can_always_go_if_another_one_stays
            }
            session {
                an_opened_session_is_found_by_its_id_and_its_token
                opening_a_session_is_noted_as_use_of_its_key
                a_second_session_of_a_key_ends_the_first
                sessions_of_different_keys_live_side_by_side
                a_key_that_is_not_active_or_not_there_opens_no_session
                deactivating_a_key_ends_its_session_for_good
                activating_an_active_key_leaves_its_session_alone
                deleting_a_key_ends_its_session
                a_session_ends_once_and_alone
                identifiers_of_ended_sessions_are_never_given_again
                renewing_notes_the_use_of_session_and_key
                renewing_never_sets_the_last_use_back
                renewing_an_ended_session_does_nothing
                sessions_last_used_before_a_moment_are_ended_and_counted
                of_sessions_opened_at_once_with_one_key_one_lives
                a_key_deactivated_while_sessions_are_opened_has_none
            }
            login_token {
                a_login_token_is_spent_once
                expired_login_tokens_are_forgotten_and_counted
                of_those_who_spend_a_login_token_at_once_one_is_first
                forgetting_login_tokens_leaves_those_that_are_spent_meanwhile
            }
            session_reads {
                what_is_read_for_a_session_is_its_users_and_with_the_session_it_ends
            }
            keyserver {
                an_ended_session_changes_no_password
                an_account_is_a_user_with_a_key_and_a_password
                an_account_is_found_by_exactly_its_name
                a_taken_name_gets_no_account
                a_new_password_brings_a_new_key_and_moves_the_session_to_it
                a_session_moved_to_a_new_key_is_that_keys_one_session
                a_new_password_leaves_keys_and_sessions_of_devices_alone
                without_account_no_password_is_changed
                deleting_its_key_deletes_the_account
                other_changes_of_keys_leave_the_account_alone
                rehashing_replaces_hash_and_sealed_key_only
                of_passwords_changed_at_once_one_is_in_force_with_its_key
                rehashing_never_brings_an_old_password_back
            }
            password_login {
                a_forbidden_password_opens_nothing_until_it_is_allowed_again
                forbidding_ends_the_session_of_the_accounts_key_alone
                without_account_no_password_is_forbidden_or_allowed
                a_password_that_alone_opens_the_account_is_not_forbidden
                a_key_that_has_expired_is_no_reason_to_forbid_the_password
                an_ended_session_forbids_and_allows_nothing
                a_new_password_stays_forbidden
                a_password_forbidden_while_other_keys_go_leaves_one_way_in
                a_password_changed_while_it_is_forbidden_is_forbidden
            }
            assembly {
                a_saved_assembly_comes_back_exactly
                an_assembly_is_found_by_exactly_its_author_and_name
                a_replaced_assembly_keeps_its_identity_and_nothing_else
                a_renamed_assembly_keeps_its_users_and_frees_its_name
                a_save_under_the_name_of_another_assembly_changes_nothing
                authors_use_the_same_names_without_meeting
                no_more_assemblies_are_made_than_the_limit
                an_authors_assemblies_take_no_more_bytes_than_the_limit
                assemblies_are_listed_in_the_order_they_were_made
                a_list_tells_name_author_and_description
                deleting_an_assembly_uninstalls_it_everywhere
                a_new_assembly_of_a_deleted_ones_name_starts_without_users
                of_new_assemblies_saved_at_once_under_one_name_one_is_made
                of_assemblies_renamed_at_once_to_one_name_one_gets_it
                assemblies_saved_by_many_at_once_stop_at_the_limit
                readers_see_a_save_as_a_whole_or_not_at_all
            }
            installation {
                an_installed_assembly_is_found_for_its_user_alone
                a_function_is_found_by_those_who_have_installed_its_assembly
                an_assembly_that_is_not_there_is_not_installed
                installing_again_changes_nothing_not_even_at_the_limit
                uninstalling_is_for_the_user_alone_and_once
                installed_assemblies_are_listed_in_the_order_they_were_made
                assemblies_are_counted_as_written_installed_and_in_all
                assemblies_installed_by_many_at_once_stop_at_the_limit
                an_assembly_deleted_while_it_is_installed_has_no_users
            }
            document {
                a_stored_document_comes_back_exactly
                numbers_come_back_exactly
                a_negative_zero_keeps_its_sign_and_integers_their_kind
                unicode_comes_back_exactly
                deep_and_large_documents_come_back_exactly
                a_document_needs_no_particular_fields
                times_come_back_to_the_millisecond
                without_the_assembly_installed_nothing_is_stored
                users_see_their_own_documents_only
                documents_outlive_installation_name_and_assembly
                what_is_stored_counts_from_its_time_on
                storage_and_cpu_time_are_accounted_side_by_side
                documents_stored_by_many_at_once_are_all_there_and_accounted
            }
            document_change {
                a_saved_document_has_its_new_fields_and_keeps_id_assembly_and_time
                a_removed_document_is_gone_and_that_once
                nobody_changes_a_document_of_another_user_or_assembly
                an_assemblys_documents_stay_its_own_under_another_name
                no_more_bytes_are_stored_than_allowed
                a_document_is_accounted_for_from_when_it_is_stored_whatever_time_it_has
                documents_stored_by_many_at_once_stop_at_the_bytes_allowed
                of_those_who_remove_a_document_at_once_one_does
                usage_is_exact_whatever_comes_changes_and_goes
            }
            document_query {
                a_search_finds_what_matches_in_order
                nobody_finds_documents_of_another_user_or_assembly
                skip_and_limit_cut_a_part_out_of_the_order
                values_are_told_once_in_order
                a_query_that_would_look_at_too_many_documents_is_stopped
                a_query_that_would_find_too_many_bytes_is_stopped
                a_query_without_time_is_stopped
                a_query_that_looked_at_many_documents_names_the_index_it_lacks
                queries_may_be_as_large_as_they_may
                what_is_hard_to_compare_is_compared_exactly
                whatever_is_asked_the_answer_is_what_the_query_means
                answers_stay_right_while_documents_indexes_and_names_change
                readers_see_a_change_in_all_indexes_or_in_none
            }
            run {
                a_recorded_run_comes_back_exactly
                runs_are_listed_newest_first_for_their_user_alone
                a_list_of_runs_may_be_of_one_assembly
                of_each_user_the_newest_runs_stay
                runs_that_are_too_old_go
                an_author_lists_the_runs_of_her_assembly_alone
                who_is_gone_is_skipped
                cpu_time_is_booked_in_all_and_for_its_hour
                a_batch_that_comes_again_is_booked_once
                a_batch_that_waits_is_recorded_as_any_other
                of_one_batch_recorded_by_many_at_once_one_counts
                batches_recorded_by_many_at_once_are_exact
            }
            job {
                a_job_is_due_at_once_for_whoever_installs_it
                nothing_is_due_before_its_time
                a_job_runs_in_the_rhythm_it_was_planned_in
                after_a_downtime_a_job_runs_once
                a_job_without_schedule_runs_once_per_installation
                a_save_plans_what_is_new_and_forgets_what_is_gone
                another_schedule_is_in_force_after_one_interval_at_the_latest
                another_schedule_leaves_a_running_job_alone
                a_job_follows_its_assembly_to_another_name
                nothing_is_run_of_what_is_uninstalled_or_deleted
                a_job_queued_by_a_document_takes_it_along_when_it_is_done
                a_job_whose_document_is_removed_is_not_run
                what_cannot_be_queued_is_told
                a_job_wanted_now_runs_once_more_however_often_that_is_said
                a_queued_job_wanted_now_does_not_wait_for_the_end_of_its_pause
                a_list_tells_how_it_stands_with_each_job
            }
            job_lease {
                of_claims_at_once_each_entry_goes_to_one
                an_expired_lease_is_taken_over_and_its_holder_refused
                an_extended_lease_is_not_taken_over
                a_lease_that_has_expired_is_held_until_somebody_claims
                a_run_is_completed_once
                of_completions_at_once_one_counts
                one_job_never_runs_twice_at_once_for_one_user
                each_user_has_her_turn_before_anybody_has_two
                who_had_her_last_turn_longest_ago_has_the_next
                however_much_is_due_for_one_user_the_others_have_their_turns
                whoever_waits_longest_comes_first
                uninstalling_while_a_job_runs_takes_its_lease_away
                a_job_that_a_save_drops_while_it_runs_takes_its_lease_away
            }
            job_hold {
                what_a_run_queues_can_be_claimed_when_that_has_ended
                a_run_releases_all_that_it_queued_and_nothing_else
                what_a_lost_run_queued_becomes_due_by_itself
                a_job_wanted_now_still_waits_for_the_run_that_queued_it
                what_a_run_queued_goes_with_its_document
            }
            job_failure {
                a_failed_run_is_tried_again_when_its_pause_is_over
                a_scheduled_job_goes_on_after_its_last_try
                everything_else_is_parked_until_it_is_wanted_now
                other_code_gives_a_parked_job_another_chance
                a_failing_job_keeps_its_document
                what_is_put_back_counts_as_no_try
                a_run_that_takes_its_server_along_each_time_is_given_up
            }
            throttle {
                a_burst_may_fail_and_then_one_per_interval
                a_settled_try_tells_when_all_failures_are_paid_for
                a_try_that_succeeds_costs_nothing
                who_has_failed_too_often_may_not_succeed_either
                a_try_that_is_refused_counts_for_nobody
                of_failures_at_once_no_more_are_told_than_a_burst
                successes_at_once_are_all_told
                a_clock_set_back_locks_nobody_out_for_long
                quotas_of_any_size_can_be_kept
                who_owes_nothing_any_more_is_forgotten
                of_a_group_those_who_owe_least_are_forgotten
            }
        }
    };
}

#[doc(hidden)]
pub mod cases {
    __store_contract! { cases for public () }
    __two_handles_contract! { cases for public () }
}

/// Runs the tasks side by side, from one starting shot; gives their results in order.
async fn race<T, F>(tasks: impl IntoIterator<Item = F> + Send) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<F> = tasks.into_iter().collect();
    let start = Arc::new(Barrier::new(tasks.len()));
    let running: Vec<_> = tasks
        .into_iter()
        .map(|task| {
            let start = start.clone();
            tokio::spawn(async move {
                start.wait().await;
                task.await
            })
        })
        .collect();
    let mut results = Vec::new();
    for task in running {
        results.push(task.await.unwrap());
    }
    results
}
