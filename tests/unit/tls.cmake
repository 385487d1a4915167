waft_unit_test(tls waft_tls waft_test_certs)
