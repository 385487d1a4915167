# The wire format: proto/.
add_library(waft_test_batches STATIC ${WAFT_TESTS_DIR}/support/random_batch.c)
target_include_directories(waft_test_batches PUBLIC ${WAFT_TESTS_DIR}/support ${WAFT_TESTS_DIR})
target_link_libraries(waft_test_batches PUBLIC waft_proto waft_test_write)

waft_unit_test(batch waft_test_batches waft_proto_rpc)
waft_unit_test(batch_repair waft_test_batches waft_proto_rpc)

waft_unit_test(address waft_proto)
waft_unit_test(frame waft_proto)
waft_unit_test(crc32c waft_test_batches)
waft_unit_test(ids waft_test_batches)
waft_unit_test(text_checks waft_test_batches)
waft_unit_test(export waft_test_batches waft_proto_rpc)
waft_unit_test(rpc waft_test_batches waft_proto_rpc)
waft_unit_test(wire waft_proto_rpc)
waft_unit_test(errors waft_proto)
