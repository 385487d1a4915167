# The viewer library and waftctl.
waft_unit_test(cli_text waft_viewer_static)
waft_unit_test(cli_when waft_viewer_static)
waft_unit_test(cli_arguments waft_ctl)
waft_unit_test(cli_documents waft_ctl)
waft_unit_test(viewer_format waft_viewer_static)
target_compile_definitions(test_viewer_format PRIVATE
  WAFT_TEST_DATA="${WAFT_TESTS_DIR}/data")
waft_unit_test(viewer_rpc waft_viewer_static LABELS threads)
find_package(Threads REQUIRED)
target_link_libraries(test_viewer_rpc PRIVATE Threads::Threads)
waft_unit_test(viewer_status waft_viewer_static)
waft_unit_test(viewer_many waft_viewer_static)
