# The wire format: proto/.
add_library(waft_test_batches STATIC ${WAFT_TESTS_DIR}/support/random_batch.c)
target_include_directories(waft_test_batches PUBLIC ${WAFT_TESTS_DIR}/support ${WAFT_TESTS_DIR})
target_link_libraries(waft_test_batches PUBLIC waft_proto)

waft_unit_test(batch waft_test_batches waft_proto_rpc)
