# The daemon's parsers: collector/ without store/.
add_library(waft_test_connection_world STATIC EXCLUDE_FROM_ALL
  ${WAFT_TESTS_DIR}/fuzz/connection_world.c)
target_include_directories(waft_test_connection_world PRIVATE ${WAFT_TESTS_DIR})
target_link_libraries(waft_test_connection_world PUBLIC waft_collector)
waft_fuzzer(connection waft_test_connection_world)
waft_fuzzer_refusing(connection collector/connection.c collector/export_service.c
  collector/access.c collector/store/clients.c
  collector/store/clients_ledger.c proto/frame.c)
waft_fuzzer(forward waft_test_connection_world)
waft_fuzzer(settings waft_collector)
waft_fuzzer(salvage waft_collector waft_test_region)
waft_fuzzer(access waft_collector)
waft_fuzzer(filter waft_collector waft_viewer_static)
