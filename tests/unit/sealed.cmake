waft_unit_test(store_sealed waft_store PkgConfig::ZSTD)
