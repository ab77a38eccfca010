// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

// The interfaces of the realm. The second major of Sensors must outlive the
// purge of the first; of Forgotten, somebody has deleted the row by hand.
var (
	sensors = realm.Interface{Name: "com.example.Sensors", Major: 1, Minor: 2, Kind: realm.Datastream, Mappings: []realm.Mapping{
		{Endpoint: "/%{sensor_id}/temperature", Type: realm.Double}, {Endpoint: "/%{sensor_id}/readings", Type: realm.IntegerArray},
	}}
	sensors2 = realm.Interface{Name: "com.example.Sensors", Major: 2, Kind: realm.Datastream, Mappings: []realm.Mapping{
		{Endpoint: "/%{sensor_id}/temperature", Type: realm.Double},
	}}
	settings = realm.Interface{Name: "com.example.Settings", Major: 1, Kind: realm.Properties, ServerOwned: true, Mappings: []realm.Mapping{
		{Endpoint: "/interval", Type: realm.Integer}, {Endpoint: "/labels", Type: realm.StringArray},
	}}
	telemetry = realm.Interface{Name: "com.example.Telemetry", Major: 1, Kind: realm.Object, ExplicitTimestamp: true, Mappings: []realm.Mapping{
		{Endpoint: "/%{room}/cpu", Type: realm.Double}, {Endpoint: "/%{room}/uptime", Type: realm.LongInteger},
	}}
	forgotten = realm.Interface{Name: "com.example.Forgotten", Major: 1, Kind: realm.Datastream, Mappings: []realm.Mapping{
		{Endpoint: "/value", Type: realm.String},
	}}
)

const deviceCount = 25

// fill makes the realm "demo" as an Astarte 1.2 keeps it.
func (s *stage) fill(ctx context.Context) error {
	session, err := s.cluster.Session()
	if err != nil {
		return err
	}
	if s.realm, err = realm.Create(ctx, session, realm.V1_2, realm.NamesOf(realm.V1_2, "demo", "")); err != nil {
		return err
	}
	if err := s.introspect(ctx, true); err != nil {
		return err
	}
	for _, i := range []realm.Interface{sensors, sensors2, settings, telemetry, forgotten} {
		if err := s.realm.Install(ctx, i); err != nil {
			return err
		}
		if _, err := s.realm.Load(ctx, realm.Load{Interface: i, Devices: realm.DeviceIDs(0, deviceCount), Paths: 3, Rows: 4}); err != nil {
			return err
		}
	}
	// What the manual's first step does, when nobody takes the others.
	return s.realm.Exec(ctx, "DELETE FROM "+s.realm.Keyspace+".interfaces WHERE name = ? AND major_version = ?", forgotten.Name, forgotten.Major)
}

// introspect writes the devices, of which a few declare Sensors v1 or do not.
func (s *stage) introspect(ctx context.Context, declare bool) error {
	for i := range deviceCount {
		d := realm.Device{
			ID: realm.DeviceID(i), Connected: i%3 == 0,
			Introspection: map[string]int{settings.Name: 1, telemetry.Name: 1, sensors.Name: 2},
		}
		if i%5 == 0 && declare {
			d.Introspection[sensors.Name] = 1
		}
		if i%5 == 0 && !declare {
			d.Old = map[string]int{sensors.Name: 1}
		}
		if err := s.realm.AddDevice(ctx, d); err != nil {
			return err
		}
	}
	return nil
}
