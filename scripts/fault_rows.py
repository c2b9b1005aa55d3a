"""The list of faults to survive, and what shows for each whether the program holds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HOLDS, PARTLY, UNTESTED = "holds", "partly", "cannot be tested here"


@dataclass(frozen=True)
class Fault:
    """A row of the list."""

    number: int
    fault: str
    verdict: str
    shown: str
    """Tests as ``FILE::NAME``, in code quotes, and words."""


def _tests(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names)


_ROWS = [
    ("SIGKILL at any moment of a training", HOLDS, "the table above; "
     + _tests("tests/runs/test_finetune.py::test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been")),
    ("SIGTERM, SIGINT, and a second one", HOLDS, _tests(
        "tests/runs/test_finetune.py::test_a_signal_writes_a_snapshot_and_the_run_continues_bit_for_bit",
        "tests/train/test_signals.py::test_a_second_signal_ends_the_process_at_once",
        "tests/data/test_folder_run.py::test_the_polite_signals_leave_a_report")),
    ("disk full", HOLDS, "the table above; " + _tests(
        "tests/test_files.py::test_full_disk_names_bytes_needed_and_free",
        "tests/stylize/test_batch.py::test_a_full_disk_ends_the_run",
        "tests/cli/test_commands.py::test_a_full_disk_under_the_output_is_exit_code_5")),
    ("folder read-only or gone, paths too long or of any script", HOLDS, _tests(
        "tests/train/test_run_folder.py::test_a_folder_that_cannot_be_is_a_storage_error",
        "tests/data/test_folder_run.py::test_a_name_of_any_bytes_is_worked_on_and_reported",
        "tests/data/test_folder_run.py::test_a_name_that_is_too_long_fails_alone")),
    ("two trainers in one run folder", HOLDS, _tests(
        "tests/runs/test_finetune.py::test_a_second_trainer_is_refused_while_the_first_lives",
        "tests/train/test_run_folder.py::test_a_damaged_lock_is_taken_over")),
    ("snapshot damaged, renamed, of another run", HOLDS, _tests(
        "tests/train/test_loop.py::test_a_damaged_snapshot_is_skipped_loudly",
        "tests/train/test_loop.py::test_a_snapshot_of_another_run_is_told_and_not_continued",
        "tests/train/test_loop.py::test_a_snapshot_under_another_name_is_skipped_loudly")
     + "; there is no --strict: a damaged one is always told and passed over"),
    ("resume of what is not there", HOLDS, "a run continues by its folder, so there is nothing to name wrongly: "
     + _tests("tests/train/test_loop.py::test_a_snapshot_of_other_networks_is_refused")),
    ("resume with other settings, pictures or libraries", HOLDS, _tests(
        "tests/train/test_run_folder.py::test_the_same_settings_go_on_and_others_are_refused_by_name",
        "tests/train/test_run_folder.py::test_other_libraries_are_told_once_and_go_on",
        "tests/runs/test_troubles.py::test_a_run_goes_on_with_a_setting_that_is_let_through",
        "tests/runs/test_troubles.py::test_what_a_run_is_cannot_be_let_through")),
    ("resume with another number of threads", HOLDS, "documented in docs/usage.md: bit for bit with as many threads"),
    ("NaN in loss, gradient or average", HOLDS, _tests(
        "tests/train/test_loop.py::test_nan_stops_the_training_before_the_update",
        "tests/train/test_loop.py::test_a_gradient_of_nan_under_a_finite_loss_touches_no_weight",
        "tests/train/test_distributed.py::test_nan_on_one_process_stops_all",
        "tests/runs/test_troubles.py::test_nan_names_the_pictures_of_its_step")),
    ("collapse of D or G", HOLDS, _tests(
        "tests/train/test_loop.py::test_samples_that_are_all_alike_are_told",
        "tests/runs/test_troubles.py::test_a_symptom_that_lasts_is_told_once",
        "tests/runs/test_troubles.py::test_a_judge_that_is_sure_of_everything_is_told_by_the_run")),
    ("too little memory", HOLDS, _tests(
        "tests/cli/test_commands.py::test_the_systems_own_troubles_have_codes",
        "tests/runs/test_troubles.py::test_too_little_memory_names_the_number_of_parts_to_try")
     + "; one photo that does not fit fails alone. The batch is not halved by itself, because a run that goes on where "
     "memory is short at another moment would no longer be the same bit for bit: the error names the option to add"),
    ("a process of several killed or stopped", HOLDS, _tests(
        "tests/train/test_distributed.py::test_a_lost_process_ends_the_others",
        "tests/train/test_distributed.py::test_a_signal_to_one_process_stops_all_after_the_same_step")),
    ("the clock jumps", HOLDS, "nothing decides by it: " + _tests(
        "tests/test_files.py::test_nothing_decides_by_the_clock")),
    ("wrong ending, empty, text, LFS pointer", HOLDS, _tests(
        "tests/data/test_images.py::test_what_is_no_picture_of_ours_is_named",
        "tests/stylize/test_batch.py::test_every_file_that_claims_to_be_a_picture_is_in_the_report")),
    ("truncated JPEG and PNG", HOLDS, _tests(
        "tests/data/test_images.py::test_every_shorter_file_is_refused",
        "tests/data/test_images.py::test_a_jpeg_whose_coded_pixels_are_damaged_is_refused")),
    ("orientation 1-8", HOLDS, _tests(
        "tests/data/test_images.py::test_orientation_equals_the_upright_reference",
        "tests/data/test_images.py::test_an_orientation_of_another_type_of_number_counts",
        "tests/data/test_images.py::test_the_first_of_several_orientations_counts")),
    ("16 bits, palettes, opacity, CMYK, profiles", HOLDS, _tests(
        "tests/data/test_images.py::test_16_bit_grey_is_scaled_and_rounded",
        "tests/data/test_images.py::test_a_key_of_16_bits_is_compared_in_full",
        "tests/data/test_images.py::test_cmyk_with_and_without_the_adobe_marker",
        "tests/data/test_images.py::test_what_a_profile_is_counts_and_not_its_name",
        "tests/data/test_images.py::test_the_profile_of_a_jpeg_counts_wherever_it_stands")),
    ("animations and several pages", HOLDS, _tests(
        "tests/data/test_images.py::test_animations_are_refused",
        "tests/data/test_images.py::test_the_first_picture_of_a_multi_picture_file_is_read")),
    ("bombs", HOLDS, _tests(
        "tests/data/test_images.py::test_bombs_are_refused_without_being_decoded",
        "tests/data/test_images.py::test_a_picture_costs_12_bytes_a_pixel",
        "tests/data/test_images.py::test_a_file_that_is_no_picture_is_not_read_whole")),
    ("zip archives", HOLDS, _tests(
        "tests/data/test_sources.py::test_names_that_point_out_of_the_zip_are_left_out",
        "tests/data/test_sources.py::test_caps_on_ratio_count_and_sum",
        "tests/data/test_sources.py::test_duplicate_names_are_refused",
        "tests/data/test_sources.py::test_encrypted_zips_are_refused")),
    ("exemplars: duplicates, tiny, other styles, no face", HOLDS, _tests(
        "tests/evaluate/test_exemplars.py::test_a_sound_set_has_no_findings",
        "tests/cli/test_commands.py::test_prepare_checks_exemplars_and_writes_nothing_else",
        "tests/data/test_folder.py::test_what_fitting_does_to_pictures_is_counted")),
    ("no face, several, at the border, large and small", HOLDS, _tests(
        "tests/faces/test_detect.py::test_a_photo_gives_the_same_faces_whatever_came_before",
        "tests/stylize/test_batch.py::test_a_face_that_is_mostly_outside_of_its_photo_is_told",
        "tests/stylize/test_pipeline.py::test_no_face_is_a_typed_error")),
    ("pickles that run code", HOLDS, "the table above; " + _tests(
        "tests/io/test_pickles.py::test_everything_off_the_list_is_refused_by_name",
        "tests/io/test_pickles.py::test_what_would_take_for_ever_is_refused_at_once",
        "tests/fuzz/test_fuzz.py::test_a_hostile_file_is_refused_or_read_by_every_reader")),
    ("checkpoints of NVIDIA and rosinality", HOLDS, _tests(
        "tests/io/test_nvidia.py::test_images_codes_and_scores_agree_with_nvidia_and_nothing_is_executed",
        "tests/io/test_rosinality.py::test_images_and_codes_agree_with_rosinality")),
    ("safetensors headers that lie", HOLDS, _tests(
        "tests/io/test_model_file.py::test_headers_that_lie_are_refused",
        "tests/io/test_model_file.py::test_one_flipped_bit_of_any_tensor_is_told",
        "tests/fuzz/test_fuzz.py::test_a_hostile_file_is_refused_or_read_by_every_reader")),
    ("metadata: paths, HTML, the future", HOLDS, _tests(
        "tests/io/test_model_file.py::test_headers_that_are_no_header_are_refused")),
    ("no licence", HOLDS, _tests(
        "tests/io/test_registry.py::test_a_model_without_a_licence_is_added_with_a_warning",
        "tests/cli/test_licences.py::test_a_style_without_a_licence_is_refused_where_one_is_required",
        "tests/cli/test_licences.py::test_the_environment_asks_for_all_commands_and_for_python")),
    ("service: traversal", HOLDS, _tests("tests/web/test_app.py::test_no_style_is_ever_a_path")),
    ("service: other hosts and pages, no token", HOLDS, _tests(
        "tests/web/test_guard.py::test_other_names_are_refused_before_all_else",
        "tests/web/test_guard.py::test_only_the_own_page_may_post",
        "tests/web/test_guard.py::test_the_token_is_asked_of_all_but_the_page")),
    ("service: large, slow, many, gone", HOLDS, _tests(
        "tests/web/test_app.py::test_a_body_that_is_too_large_is_refused",
        "tests/web/test_app.py::test_a_slow_upload_is_cut_off_and_gives_up_its_place",
        "tests/web/test_app.py::test_queue_places_cancelling_and_a_full_queue",
        "tests/web/test_load.py::test_two_hundred_requests_of_twenty_clients")),
    ("service: SVG, HTML, polyglots", HOLDS, _tests(
        "tests/web/test_app.py::test_what_is_no_photo_is_refused",
        "tests/web/test_guard.py::test_every_answer_has_the_headers_of_safety")),
    ("what is written: no metadata, whole, nothing replaced", HOLDS, _tests(
        "tests/stylize/test_batch.py::test_nothing_of_the_photos_metadata_reaches_the_pictures",
        "tests/test_files.py::test_killed_writer_leaves_the_old_file",
        "tests/stylize/test_batch.py::test_a_picture_of_somebody_else_is_not_replaced",
        "tests/data/test_prepare.py::test_a_file_of_somebody_else_is_not_replaced")),
    ("the same input gives the same bytes", HOLDS, _tests(
        "tests/stylize/test_pipeline.py::test_threads_change_a_picture_by_rounding_at_most",
        "tests/stylize/test_pipeline.py::test_a_face_does_not_depend_on_its_company",
        "tests/web/test_app.py::test_the_bytes_are_those_of_the_command_line")),
    ("export to ONNX", HOLDS, _tests(
        "tests/export/test_export.py::test_a_style_with_its_encoder_draws_as_the_papers_do",
        "tests/export/test_export.py::test_a_painter")),
    ("10,000 files", HOLDS, "the table above; " + _tests(
        "tests/data/test_folder_run.py::test_a_photo_costs_a_line_however_many_there_are")),
    ("long runs", HOLDS, "the table above"),
    ("metrics: formulas, memorisers", HOLDS, _tests(
        "tests/evaluate/test_distribution.py::test_frechet_distance_equals_torchmetrics",
        "tests/evaluate/test_copies.py::test_a_memoriser_raises_it",
        "tests/evaluate/test_copies.py::test_independent_pictures_raise_no_alarm")),
    ("supply: floors, no network", HOLDS, "floors in pyproject.toml; " + _tests(
        "tests/stylize/test_bundled.py::test_drawing_opens_no_connection")),
    ("a broken rule makes a test red", PARTLY,
     "by samples only, as mutants of the whole source take days: `python scripts/mutants.py` breaks one rule of a "
     "critical module at a time. Of 12 mutants of the run folder (train/folder.py) 10 were caught by its own tests; "
     "the two left are a rule that other tests hold and a count of tries. Of 12 of the checks of LMDB pages 7 were "
     "caught; of the five left one changed a message, and the rules of the other three have " + _tests(
        "tests/data/test_lmdb.py::test_values_may_fill_a_page_and_not_more",
        "tests/data/test_lmdb.py::test_values_with_pages_of_their_own_end_with_the_file",
        "tests/data/test_lmdb.py::test_a_branch_has_two_ways_at_least") + " since"),
]  # fmt: skip
FRONTIER = [Fault(number, *row) for number, row in enumerate(_ROWS, 1)]

_REPORTS = [
    ("pictures vanish from a folder without a word", _tests(
        "tests/stylize/test_batch.py::test_every_file_that_claims_to_be_a_picture_is_in_the_report",
        "tests/cli/test_inputs.py::test_a_folder_skips_no_picture_in_silence")),
    ("one long name ends a run of thousands", _tests(
        "tests/data/test_folder_run.py::test_a_name_that_is_too_long_fails_alone",
        "tests/data/test_prepare.py::test_one_long_name_does_not_end_the_set")),
    ("a legal name of 238 bytes is too long for its temporary file", _tests(
        "tests/data/test_folder_run.py::test_a_name_that_the_file_system_allows_is_written")),
    ("results are taken as photos", _tests(
        "tests/stylize/test_batch.py::test_drawings_of_earlier_runs_are_not_taken_as_photos")),
    ("several photos, or a quoted pattern", _tests(
        "tests/cli/test_inputs.py::test_several_photos_and_a_bad_one",
        "tests/cli/test_inputs.py::test_patterns_are_those_of_shells")),
    ("a zip of Windows, with \\ between folders", _tests(
        "tests/data/test_sources.py::test_folders_of_a_zip_may_be_parted_as_windows_parts_them")),
    ("labels with ; or tabs, in UTF-16, under capitals", _tests(
        "tests/data/test_folder.py::test_a_table_is_read_as_spreadsheets_save_it",
        "tests/data/test_folder.py::test_an_attribute_is_named_in_any_case")),
    ("labels in JSON: a comma too many, half of the pictures, one of them twice", _tests(
        "tests/data/test_sources.py::test_labels_that_are_no_json_name_the_place",
        "tests/data/test_folder.py::test_pictures_without_a_label_are_told",
        "tests/data/test_sources.py::test_two_labels_of_one_picture_are_refused")),
    ("checkpoints of pSp and lucidrains, a mean for each row", _tests(
        "tests/io/test_formats.py::test_the_generator_within_a_checkpoint_of_psp_is_read",
        "tests/io/test_formats.py::test_the_networks_of_another_program_are_named",
        "tests/io/test_formats.py::test_a_mean_of_w_for_each_row_is_one_mean_if_they_are_equal")),
    ("state dicts under NVIDIA's names, nested or bare", _tests(
        "tests/io/test_formats.py::test_names_of_nvidia_are_read_however_they_are_nested")),
    ("endings in capitals", _tests(
        "tests/io/test_formats.py::test_capitals_in_an_ending_do_not_count",
        "tests/cli/test_commands.py::test_endings_may_be_in_capitals")),
    ("a checkpoint in which D is None", _tests(
        "tests/io/test_nvidia.py::test_a_generator_without_its_company_is_read")),
    ("an orientation stored as LONG", _tests(
        "tests/data/test_images.py::test_an_orientation_of_another_type_of_number_counts",
        "tests/stylize/test_batch.py::test_a_photo_on_its_side_is_pasted_upright")),
    ("a photo that is cut out loses its opacity", _tests(
        "tests/stylize/test_batch.py::test_a_pasted_photo_stays_cut_out")),
]  # fmt: skip
REPORTS = [Fault(number, fault, HOLDS, shown) for number, (fault, shown) in enumerate(_REPORTS, 1)]
"""What users of other programs of this kind have reported, each rebuilt with inputs of our own."""


def check_names(repository: Path, faults: Iterable[Fault] = (*FRONTIER, *REPORTS)) -> None:
    """Refuse a row that names a test which is not there.

    Raises:
        ValueError: There is such a row.
    """
    for fault in faults:
        for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", fault.shown):
            if f"def {name}(" not in (repository / file).read_text(encoding="utf-8"):
                raise ValueError(f"row {fault.number} names {file}::{name}, which is not there")
