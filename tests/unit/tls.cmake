waft_unit_test(tls waft_tls waft_test_certs)
waft_unit_test(access waft_collector)
