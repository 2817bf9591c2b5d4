"""No option without a test that turns it on: which test holds what each option promises."""

from __future__ import annotations

import pytest

from modules.config.schema import OPTIONS
from tests.promises import options_turned_on

# Options with one choice only, which is their default: nothing can be turned on yet.
ONE_CHOICE: set[str] = set()
PROMISES = {
    "settings.debug": "scripts/test_main_job.py::test_a_debug_run_covers_a_part_and_is_not_the_latest",
    "settings.gpu": "compute/test_process.py::test_an_accelerator_is_used_only_where_gpu_is_true",
    "settings.seed": "training/test_fold.py::test_folds_and_seeds_differ_and_seed_zero_is_a_seed",
    "settings.deterministic": "compute/test_process.py::test_deterministic_sets_torch_up_for_it",
    "settings.log_path": "scripts/test_main_job.py::test_a_second_run_of_the_same_config_learns_the_same",
    "settings.data_path": "scripts/test_main_job.py::test_the_submission_averages_the_folds_probabilities",
    "settings.run_name": "scripts/test_main_job.py::test_a_second_run_of_the_same_config_learns_the_same",
    "settings.num_workers": "scripts/test_main_job.py::test_any_number_of_workers_gives_one_result_and_augmentation_another",
    "settings.precision": "compute/test_process.py::test_what_is_asked_for_is_taken",
    "settings.channels_last": "training/test_fold.py::test_the_moving_average_is_laid_out_in_memory_like_the_model",
    "settings.compile": "training/test_fold.py::test_compiled_folds_share_their_code_and_learn_what_others_do",
    "settings.keep_epochs": "training/test_fold.py::test_every_epochs_weights_are_kept_under_their_loss_and_score",
    "settings.cache_path": "scripts/test_features.py::test_what_is_told_of_passes_is_what_is_done",
    "settings.cache_limit": "scripts/test_features.py::test_on_says_why_it_cannot_be_done_and_auto_goes_on_without",
    "data.source": "scripts/test_sources.py::test_folders_of_classes_train_and_predict_without_any_table",
    "data.dataset": "scripts/test_sources.py::test_a_set_of_torchvision_is_normalised_by_its_own_statistics_and_resumed",
    "data.train_csv": "data/test_csv_source.py::test_a_missing_table_is_told_with_the_option_that_names_it",
    "data.train_images": "data/test_folder_source.py::test_a_folder_without_folders_or_no_folder_at_all_is_refused_in_a_line",
    "data.test_csv": "data/test_csv_source.py::test_test_samples_come_from_the_test_table_else_from_the_template_in_their_order",
    "data.test_images": "data/test_csv_source.py::test_test_samples_come_from_the_test_table_else_from_the_template_in_their_order",
    "data.sample_submission": "data/test_folder_source.py::test_a_template_of_another_name_must_be_there",
    "data.id_column": "data/test_csv_source.py::test_without_id_column_and_template_the_column_must_be_named",
    "data.image_column": "data/test_csv_source.py::test_test_samples_come_from_the_test_table_else_from_the_template_in_their_order",
    "data.task": "scripts/test_tasks.py::test_ordinal_gives_a_place_in_the_order",
    "data.label_separator": "scripts/test_tasks.py::test_multilabel_reads_columns_and_cells_alike",
    "data.target_range": "data/test_labels.py::test_predictions_are_clipped_to_the_range_that_is_asked_for",
    "data.label_columns": "scripts/test_main_job.py::test_mistakes_of_all_rooms_are_told_at_once",
    "data.label_pattern": "scripts/test_more_sources.py::test_a_pattern_over_paths_trains_folds_by_person_and_predicts_by_the_template",
    "data.metadata_columns": "scripts/test_metadata_columns.py::test_what_only_the_table_knows_is_learnt_with_it_and_not_without",
    "data.group_column": "scripts/test_main_job.py::test_groups_are_never_divided",
    "data.image_suffix": "data/test_csv_source.py::test_a_contest_of_files_is_read_and_its_images_are_there",
    "data.pixel_columns": "scripts/test_more_sources.py::test_pixels_in_tables_train_and_predict_without_a_file",
    "data.pixel_size": "data/test_pixel_table.py::test_three_numbers_a_pixel_are_colours_side_by_side",
    "data.channel_suffixes": "scripts/test_more_sources.py::test_four_files_an_image_are_four_channels_from_pretrained_weights_to_the_submission",
    "data.image_size": "scripts/test_model_options.py::test_the_restored_model_predicts_what_the_trained_one_did",
    "data.resize": "data/test_preprocessing.py::test_it_survives_as_plain_values",
    "data.channels": "data/test_preprocessing.py::test_grey_models_get_the_average_of_three_channels",
    "data.mean": "data/test_preprocessing.py::test_auto_is_the_models_own_and_numbers_are_taken_as_they_are",
    "data.std": "scripts/test_sources.py::test_auto_mean_and_std_are_the_pretrained_models_then_the_sets_then_a_half",
    "data.extra_csv": "scripts/test_sources.py::test_extra_rows_train_and_are_never_validated",
    "data.extra_images": "scripts/test_sources.py::test_extra_rows_train_and_are_never_validated",
    "data.corrections": "scripts/test_mask.py::test_corrections_and_the_boundary_are_what_is_learnt_from",
    "data.age_boundary": "scripts/test_mask.py::test_corrections_and_the_boundary_are_what_is_learnt_from",
    "data.pseudo_labels": "scripts/test_more_sources.py::test_the_predictions_beside_a_submission_are_pseudo_labels_of_the_next_run",
    "data.pseudo_threshold": "data/test_pseudo.py::test_a_table_of_predictions_gives_the_most_probable_class_and_its_probability",
    "data.bad_images": "scripts/test_main_job.py::test_bad_training_images_are_skipped_by_name_where_asked",
    "data.cache": "scripts/test_pixel_cache.py::test_a_run_with_kept_pixels_is_the_run_without",
    "data.cache_margin": "scripts/test_pixel_cache.py::test_a_margin_changes_what_crops_see_and_is_carried_to_inference",
    "data.near_duplicates": "scripts/test_checks.py::test_off_looks_for_none_and_copies_to_the_byte_are_listed_all_the_same",
    "split.method": "data/test_splits.py::test_the_folds_are_those_of_scikit_learn",
    "split.folds": "data/test_splits.py::test_every_row_is_validated_once_and_trains_all_other_folds",
    "split.repeats": "scripts/test_splits.py::test_repeats_score_every_row_once_a_repeat_and_all_models_predict",
    "split.bins": "data/test_splits.py::test_more_bins_change_the_folds_of_numbers",
    "split.train_folds": "scripts/test_splits.py::test_some_folds_today_and_the_others_tomorrow_are_all_folds",
    "split.holdout": "data/test_splits.py::test_holdout_is_one_fold_of_that_share_with_the_classes_of_scikit_learn",
    "split.fold_column": "scripts/test_splits.py::test_predefined_folds_come_from_the_table",
    "split.epochs_from": "scripts/test_splits.py::test_the_refit_trains_on_everything_for_the_mean_best_epoch_and_predicts",
    "model.library": "models/test_build.py::test_the_head_is_replaced_and_parameters_keep_the_librarys_names",
    "model.name": "models/test_build.py::test_the_head_is_replaced_and_parameters_keep_the_librarys_names",
    "model.pretrained": "scripts/test_warm_start.py::test_every_fold_begins_with_the_weights_of_its_own_fold_head_included",
    "model.freeze": "training/test_fold.py::test_a_frozen_backbone_is_the_same_in_every_epochs_checkpoint",
    "model.unfreeze": "scripts/test_options.py::test_a_debug_run_trains_in_its_one_epoch_what_the_last_one_would",
    "model.head": "models/test_heads.py::test_an_appended_layer_takes_all_that_the_librarys_own_model_gives",
    "model.head_init": "models/test_build.py::test_every_head_initialisation_has_the_spread_that_its_paper_gives",
    "model.stem_init": "models/test_build.py::test_every_stem_initialisation_has_the_spread_that_its_paper_gives",
    "model.pooling": "models/test_pooling.py::test_the_head_gets_what_the_arithmetic_gives",
    "model.feature_cache": "scripts/test_features.py::test_what_is_learnt_from_exact_features_is_what_images_teach",
    "model.feature_views": "scripts/test_features.py::test_stored_views_are_learnt_from_and_said",
    "model.feature_precision": "jobs/test_stored_features.py::test_the_line_says_what_it_costs_and_saves",
    "model.dropout": "models/test_regularisation.py::test_dropout_drops_its_share_of_what_goes_into_the_head",
    "model.drop_path": "models/test_regularisation.py::test_stochastic_depth_rises_to_its_rate_in_timm",
    "model.grad_checkpointing": "models/test_regularisation.py::test_checkpointed_gradients_are_the_gradients_and_activations_are_computed_again",
    "model.ema_decay": "training/test_fold.py::test_the_moving_average_is_what_is_validated_and_kept",
    "augmentation.preset": "data/test_transforms.py::test_every_preset_keeps_uint8_and_the_size_and_repeats_a_draw",
    "augmentation.train": "data/test_transforms.py::test_a_written_pipeline_takes_the_place_of_the_preset",
    "augmentation.valid": "scripts/test_main_job.py::test_validation_and_test_images_go_through_valid_alone",
    "augmentation.mixup": "data/test_mixing.py::test_mixup_blends_pixels_by_the_share_in_the_targets",
    "augmentation.cutmix": "data/test_mixing.py::test_cutmix_puts_one_box_of_the_other_image_in_and_the_targets_have_its_area",
    "hyper_params.epochs": "scripts/test_main_job.py::test_check_says_what_a_full_run_would_do_and_writes_nothing",
    "hyper_params.probe_epochs": "training/test_fold.py::test_a_probe_is_what_a_frozen_backbone_learns_in_as_many_epochs",
    "hyper_params.batch_size": "scripts/test_main_job.py::test_batches_of_one_that_batchnorm_cannot_take_are_one_line",
    "hyper_params.accumulate": "training/test_epoch.py::test_accumulated_batches_equal_the_large_batch",
    "hyper_params.learning_rate": "training/test_epoch.py::test_the_rate_of_each_step_is_the_schedules_from_the_first_step_on",
    "hyper_params.head_learning_rate": "training/test_optimizer.py::test_every_parameter_of_a_timm_model_has_the_rate_of_its_layer",
    "hyper_params.layer_decay": "training/test_optimizer.py::test_every_parameter_of_a_timm_model_has_the_rate_of_its_layer",
    "hyper_params.optimizer": "training/test_optimizer.py::test_sgd_is_nesterovs_and_momentum_the_plain_one",
    "hyper_params.weight_decay": "training/test_optimizer.py::test_whatever_the_rates_weight_decay_spares_norms_biases_and_what_the_model_names",
    "hyper_params.momentum": "training/test_optimizer.py::test_sgd_is_nesterovs_and_momentum_the_plain_one",
    "hyper_params.clip_grad": "training/test_epoch.py::test_the_gradient_is_cut_as_torch_cuts_it",
    "hyper_params.scheduler": "training/test_schedule.py::test_every_schedule_is_pure_and_between_nought_and_one",
    "hyper_params.step_epochs": "training/test_schedule.py::test_step_is_torchs_counted_in_epochs",
    "hyper_params.step_factor": "training/test_schedule.py::test_step_is_torchs_counted_in_epochs",
    "hyper_params.plateau_patience": "training/test_schedule.py::test_plateau_is_torchs_over_any_scores",
    "hyper_params.warmup_epochs": "training/test_schedule.py::test_a_warm_up_is_linear_and_then_a_whole_cosine_follows",
    "hyper_params.loss": "training/test_parts.py::test_every_way_to_learn_trains_a_fold_and_learns_something_else",
    "hyper_params.focal_gamma": "training/test_parts.py::test_a_gamma_of_zero_learns_as_cross_entropy_does",
    "hyper_params.label_smoothing": "training/test_epoch.py::test_an_epoch_equals_a_loop_by_hand_to_the_bit",
    "hyper_params.class_weights": "training/test_parts.py::test_balanced_weights_are_of_the_rows_that_the_fold_trains_on_and_hold_for_its_validation",
    "hyper_params.sampler": "training/test_parts.py::test_a_balanced_sampler_draws_from_the_fold_alone_and_as_many_of_each_class",
    "hyper_params.metric": "scripts/test_main_job.py::test_the_metric_chooses_the_best_epoch_and_is_what_is_told",
    "hyper_params.map_at": "prediction/test_metrics.py::test_map_counts_the_place_of_the_true_class_among_the_first",
    "hyper_params.metric_weights": "scripts/test_tasks.py::test_multioutput_has_a_class_for_each_column",
    "hyper_params.patience": "training/test_fold.py::test_patience_stops_a_fold_after_so_many_epochs_without_improvement",
    "hyper_params.min_delta": "training/test_fold.py::test_patience_goes_by_the_metrics_direction_and_min_delta",
    "inference.run": "scripts/test_inference_options.py::test_a_blend_combines_every_fold_of_every_run_at_once",
    "inference.tta": "scripts/test_inference_options.py::test_out_of_fold_under_another_tta_is_what_training_with_it_makes",
    "inference.ensemble": "scripts/test_inference_options.py::test_a_blend_combines_every_fold_of_every_run_at_once",
    "inference.weights": "scripts/test_inference_options.py::test_weights_by_score_are_in_proportion_to_the_folds_scores",
    "inference.other_folds": "scripts/test_blending.py::test_runs_of_other_folds_are_refused_unless_that_is_allowed",
    "inference.empty_labels": "scripts/test_tasks.py::test_multilabel_reads_columns_and_cells_alike",
    "inference.batch_size": "scripts/test_main_job.py::test_the_submission_averages_the_folds_probabilities",
    "inference.submission_path": "scripts/test_main_job.py::test_the_submission_follows_the_template_and_is_scored",
    "inference.output": "scripts/test_inference_options.py::test_the_copy_has_a_fixed_name_and_is_replaced_each_time",
    "inference.decision": "scripts/test_decisions.py::test_another_decision_is_fitted_at_inference_without_training_again",
    "inference.unknown_class": "scripts/test_decisions.py::test_an_unknown_class_reaches_the_submission_by_its_name",
    "inference.unknown_below": "scripts/test_decisions.py::test_an_unknown_class_reaches_the_submission_by_its_name",
    "inference.answers": "scripts/test_main_job.py::test_the_submission_follows_the_template_and_is_scored",
    "logging.plots": "scripts/test_report.py::test_plots_are_not_drawn_where_nobody_wants_them",
    "logging.tensorboard": "reporting/test_monitors.py::test_tensorboard_is_told_where_it_is_asked_for",
    "logging.wandb": "reporting/test_monitors.py::test_weights_and_biases_are_told_where_they_are_asked_for",
    "logging.wandb_project": "reporting/test_monitors.py::test_weights_and_biases_are_told_where_they_are_asked_for",
    "logging.wandb_entity": "reporting/test_monitors.py::test_weights_and_biases_are_told_where_they_are_asked_for",
    "logging.progress": "reporting/test_sinks.py::test_a_bar_is_shown_on_a_terminal_where_progress_is_asked_for",
    "tuning.trials": "scripts/test_tune.py::test_a_search_draws_ranks_confirms_and_writes_the_winner",
    "tuning.searcher": "scripts/test_tune.py::test_every_searcher_runs_and_failing_trials_are_recorded",
    "tuning.scheduler": "scripts/test_tune.py::test_a_search_draws_ranks_confirms_and_writes_the_winner",
    "tuning.grace_epochs": "jobs/test_ray_tune.py::test_asha_looks_when_the_config_says_and_never_beyond_the_longest_trial",
    "tuning.reduction": "jobs/test_ray_tune.py::test_asha_looks_when_the_config_says_and_never_beyond_the_longest_trial",
    "tuning.folds": "scripts/test_tune.py::test_trials_train_as_many_folds_as_are_asked_for",
    "tuning.confirm": "scripts/test_tune.py::test_a_search_draws_ranks_confirms_and_writes_the_winner",
    "tuning.parallel": "scripts/test_tune.py::test_trials_train_as_many_folds_as_are_asked_for",
    "compute.engine": "scripts/test_ray_folds.py::test_folds_on_ray_learn_what_they_learn_one_after_another",
    "compute.address": "scripts/test_ray_folds.py::test_a_cluster_of_two_nodes_learns_what_one_process_does",
    "compute.parallel_folds": "scripts/test_ray_folds.py::test_folds_on_ray_learn_what_they_learn_one_after_another",
    "compute.cpus_per_fold": "scripts/test_ray_folds.py::test_threads_of_a_fold_are_its_share_of_the_cores",
    "compute.gpus_per_fold": "scripts/test_ray_folds.py::test_gpus_are_asked_of_ray_for_each_fold",
    "compute.sync_batchnorm": "compute/test_process.py::test_batchnorm_is_synchronised_on_cuda_alone_and_among_several",
    "compute.threads": "compute/test_process.py::test_what_is_asked_for_is_taken",
}


def test_every_option_has_a_test_that_is_named_here() -> None:
    options = {f"{section}.{name}" for section, those in OPTIONS.items() for name in those}
    untested = options - set(PROMISES) - ONE_CHOICE
    assert not untested, f"{len(untested)} options without a test: {sorted(untested)}"
    assert not set(PROMISES) - options, "promises of options that are no more"
    assert all(len(set(str(OPTIONS[name.partition(".")[0]][name.partition(".")[2]].kind).split(","))) == 1 for name in ONE_CHOICE)


@pytest.mark.parametrize("option", PROMISES)
def test_the_test_of_an_option_turns_it_on(option: str) -> None:
    turned_on = options_turned_on()
    test = f"tests/{PROMISES[option]}"
    assert test in turned_on, f"no such test: {test}"
    section, _, name = option.partition(".")
    assert (section, name) in turned_on[test], f"{test} leaves {option} at its default"


def test_an_option_that_no_test_turns_on_would_be_found() -> None:
    everywhere = set().union(*options_turned_on().values())
    assert ("hyper_params", "epochs") in everywhere
    assert ("data", "no_such_option") not in everywhere
